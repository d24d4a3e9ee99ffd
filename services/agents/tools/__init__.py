"""What agents can do beside answering: tools, and what of it needs their owner's approval."""
