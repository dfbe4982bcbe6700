"""The chat as a service: HTTP for accounts and lists, a WebSocket for what happens in conversations."""
