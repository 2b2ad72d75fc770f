"""What one viewer may see of a thing, gathered for its page. Reads only."""
