"""Approvals: whose word it takes. Holds wait for people; exceptions are people's signed promises. Knows runs and identities by Ref only."""
