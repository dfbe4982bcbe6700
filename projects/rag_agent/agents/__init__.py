"""Who does what with a message: routing, the tool loop, conversation memory, and the same as a LangChain chain."""
