"""What the agent can do beside reading: a calculator, the calendar, a simulated web search."""
