"""What agents and workflow nodes can call: http, function, builtin and mcp tools."""
