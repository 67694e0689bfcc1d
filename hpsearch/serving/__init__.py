"""Pages on 127.0.0.1: the guard and server of every page, and the page that recognises."""
