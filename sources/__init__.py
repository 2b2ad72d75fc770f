"""Sources read one kind of inbound message each. They run without Django and decide nothing."""
