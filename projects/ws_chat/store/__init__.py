"""What is kept: accounts, sessions, invitations, conversations, messages."""
