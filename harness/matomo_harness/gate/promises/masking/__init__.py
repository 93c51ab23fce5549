"""Masking: of every visitor's address only what the policy leaves is kept, however a hit came."""
