"""The timer that starts due tasks: units of systemd, or a line of a crontab."""
