"""Around decisions: who may take them, links and letters that ask for them. Taking one is `tasks.approvals`."""
