"""What may be set: one frozen model a section of `resolved.yaml`, which `waymark.config` puts together and reads."""
