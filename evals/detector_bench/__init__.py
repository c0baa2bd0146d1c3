"""How good a detector is on product folders: data -> scored pictures -> figures -> table, CSV, JSON and page."""
