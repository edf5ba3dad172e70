"""Preparing hosts: `doctor` examines them with `probe`, `install` sets up their `environment`.

`wheels` gathers the packages to install.
"""
