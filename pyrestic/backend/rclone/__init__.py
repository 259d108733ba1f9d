"""Repositories wherever rclone can store files, through `rclone serve restic`."""
