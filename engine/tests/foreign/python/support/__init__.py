"""What the tests share: the engine as a process, clients, and waits with a deadline."""
