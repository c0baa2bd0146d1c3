"""`flawlens chat`: a person talks with the agent at a terminal."""
