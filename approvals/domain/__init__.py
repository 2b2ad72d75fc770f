"""Pure rules of holds and exceptions: who may answer, what silence means, what a scope covers. No Django."""
