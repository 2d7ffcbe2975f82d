"""The processes of a run that was started by mpiexec, called ranks: messages between them, and who fails."""
