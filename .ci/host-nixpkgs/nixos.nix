# NixOS, as far as the flake uses it: so far nothing.
{ lib, pkgs }:
{ }
