"""The few paths that need a real browser, a real server and a real socket between them."""
