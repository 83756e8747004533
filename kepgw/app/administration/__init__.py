"""The administrator's commands, one module a subject: JSON-able data in and out."""
