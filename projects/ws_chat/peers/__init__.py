"""The same scripted model behind Chainlit, and a page of it; both run in an environment of their own."""
