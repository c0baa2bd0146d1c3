"""`flawlens view`: runs as local pages, for the person who checks how a verdict came about."""
