"""Who writes the answers: the local engine, any server that speaks OpenAI's chat protocol, or a script."""
