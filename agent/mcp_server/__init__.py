"""`flawlens mcp`: the tools and whole inspections for other agents, over the Model Context Protocol."""
