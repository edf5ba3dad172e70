"""Preparing hosts: `doctor` examines them by `probe`, `install` sets up their `environment`.

`wheels` gathers the packages that are installed.
"""
