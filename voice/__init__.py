"""Phone and browser conversations with a network. Its models, pipeline and connectors come with their own issue."""
