"""What runs inside the serving container; it imports nothing of Evergreen's outside itself."""
