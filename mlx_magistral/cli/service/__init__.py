"""``serve`` as a service of this user: what runs, and how launchd and systemd are told of it."""
