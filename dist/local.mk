# dist: the systemd unit, the example configuration, the pkg-config file.
