# The part of nixpkgs' `lib` that the flake uses: the same names, the same meaning, nothing more.
# What takes named arguments takes no others, so that a misspelt one is an error.
let
  inherit (builtins)
    any
    attrNames
    concatMap
    concatStringsSep
    filter
    functionArgs
    hasAttr
    isAttrs
    listToAttrs
    mapAttrs
    pathExists
    replaceStrings
    stringLength
    substring
    ;

  modules = import ./modules.nix { inherit lib; };

  # lib.fileset
  fileset = {
    # fileset.unions: here a set of files is the list of their paths.
    unions = map toString;

    # fileset.toSource: a store path with these files and nothing else.
    toSource =
      { root, fileset }:
      let
        within = path: directory: path == directory || lib.hasPrefix (directory + "/") path;
        missing = filter (path: !pathExists path) fileset;
      in
      if missing != [ ] then
        throw "fileset: ${toString missing} does not exist"
      else
        builtins.path {
          name = "source";
          path = root;
          filter = path: _: any (kept: within path kept || within kept path) fileset;
        };
  };

  lib = modules // {
    inherit fileset;

    # lib.attrsets
    inherit (builtins) mapAttrs attrValues attrNames;
    filterAttrs =
      keep: set:
      listToAttrs (
        concatMap (name: lib.optional (keep name set.${name}) (lib.nameValuePair name set.${name})) (
          attrNames set
        )
      );
    genAttrs = names: f: listToAttrs (map (name: lib.nameValuePair name (f name)) names);
    mapAttrs' = f: set: listToAttrs (map (name: f name set.${name}) (attrNames set));
    mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
    nameValuePair = name: value: { inherit name value; };
    optionalAttrs = condition: set: if condition then set else { };
    recursiveUpdate =
      a: b:
      a
      // mapAttrs (
        name: value:
        if isAttrs value && isAttrs (a.${name} or null) then lib.recursiveUpdate a.${name} value else value
      ) b;

    # lib.trivial
    inherit (builtins) isInt;

    # lib.lists
    inherit (builtins) any concatLists filter head;
    optional = condition: item: if condition then [ item ] else [ ];
    optionals = condition: list: if condition then list else [ ];

    # lib.strings
    inherit (builtins) concatStringsSep;
    concatMapStrings = f: list: concatStringsSep "" (map f list);
    concatMapStringsSep =
      separator: f: list:
      concatStringsSep separator (map f list);
    escapeShellArg = text: "'" + replaceStrings [ "'" ] [ "'\\''" ] (toString text) + "'";
    escapeShellArgs = lib.concatMapStringsSep " " lib.escapeShellArg;
    hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
    hasSuffix =
      suffix: text:
      let
        rest = stringLength text - stringLength suffix;
      in
      rest >= 0 && substring rest (stringLength suffix) text == suffix;
    # Of separators that mean nothing in a regular expression.
    splitString = separator: text: filter builtins.isString (builtins.split separator text);
    removeSuffix =
      suffix: text:
      if lib.hasSuffix suffix text then
        substring 0 (stringLength text - stringLength suffix) text
      else
        text;
    optionalString = condition: text: if condition then text else "";

    # lib.trivial, lib.meta
    boolToString = value: if value then "true" else "false";
    getExe = package: "${package}/bin/${package.meta.mainProgram}";
    importJSON = file: builtins.fromJSON (builtins.readFile file);
    importTOML = file: fromTOML (builtins.readFile file);

    # lib.customisation.callPackageWith: arguments by name from a set, others by hand.
    callPackageWith =
      set: file: arguments:
      let
        function = if builtins.isFunction file then file else import file;
        wanted = functionArgs function;
        missing = filter (name: !wanted.${name} && !hasAttr name (set // arguments)) (attrNames wanted);
      in
      if missing != [ ] then
        throw "callPackage: the stand-in has no ${toString missing}"
      else
        function (builtins.intersectAttrs wanted set // arguments);

    licenses.mit.spdxId = "MIT";
    platforms.linux = [
      "x86_64-linux"
      "aarch64-linux"
    ];
  };
in
lib
