# The part of `lib.modules`, `lib.options` and `lib.types` that the flake uses: options with types,
# definitions with conditions and priorities, several modules that add up.
{ lib }:
let
  inherit (builtins)
    all
    any
    attrNames
    concatLists
    concatMap
    elem
    filter
    foldl'
    head
    isAttrs
    isBool
    isFunction
    isInt
    isList
    isString
    mapAttrs
    match
    ;

  # What nixpkgs' lib.modules gives a plain definition, mkDefault and mkForce; the lowest wins.
  priorities = {
    default = 1000;
    plain = 100;
    force = 50;
  };

  kind = value: if isAttrs value then value._type or "" else "";

  # A definition as a list of plain ones and overrides: conditions are decided.
  decided =
    definition:
    {
      "if" = if definition.condition then decided definition.content else [ ];
      merge = concatMap decided definition.contents;
    }
    .${kind definition} or [ definition ];

  # A definition of a set as a list of sets whose members carry the conditions, so that the names of
  # the members depend on no condition: else a module could not look at what it defines itself.
  pushed =
    definition:
    {
      "if" = map (mapAttrs (_: lib.mkIf definition.condition)) (pushed definition.content);
      override = map (mapAttrs (_: lib.mkOverride definition.priority)) (pushed definition.content);
      merge = concatMap pushed definition.contents;
    }
    .${kind definition} or [ definition ];

  priorityOf = value: if kind value == "override" then value.priority else priorities.plain;
  contentOf = value: if kind value == "override" then value.content else value;

  # Every definition that counts: conditions decided, only those of the lowest priority.
  effective =
    definitions:
    let
      all = concatMap decided definitions;
      best = foldl' (a: d: if priorityOf d < a then priorityOf d else a) 100000 all;
    in
    map contentOf (filter (d: priorityOf d == best) all);

  mergeTyped =
    path: type: definitions:
    let
      values = effective definitions;
      wrong = filter (value: !type.check value) values;
    in
    if wrong != [ ] then
      throw "the option `${path}' is not of type `${type.name}'"
    else
      type.merge path values;

  mergeOption =
    path: option: definitions:
    let
      # A default counts as a definition of the weakest kind (lib.mkOptionDefault).
      given = definitions ++ lib.optional (option ? default) (lib.mkOverride 1500 option.default);
      value =
        if effective given == [ ] then
          throw "the option `${path}' was accessed but has no value defined"
        else
          mergeTyped path option.type given;
    in
    (option.apply or (x: x)) value;

  # A tree of options and a list of sets of definitions make a tree of values.
  evaluate =
    path: options: definitions:
    let
      sets = concatMap pushed definitions;
      unknown = filter (name: !(options ? ${name})) (concatMap attrNames sets);
      at = name: if path == "" then name else "${path}.${name}";
    in
    if unknown != [ ] then
      throw "the option `${at (head unknown)}' does not exist"
    else
      mapAttrs (
        name: option:
        (if kind option == "option" then mergeOption else evaluate) (at name) option (
          concatMap (set: lib.optional (set ? ${name}) set.${name}) sets
        )
      ) options;

  # lib.evalModules
  evalModules =
    {
      modules,
      specialArgs ? { },
    }:
    let
      arguments = {
        inherit lib config options;
      }
      // specialArgs;
      load =
        module:
        let
          loaded = if isAttrs module || isFunction module then module else import module;
          body = if isFunction loaded then loaded arguments else loaded;
          full = body ? config || body ? options;
        in
        concatMap load (body.imports or [ ])
        ++ [
          {
            options = body.options or { };
            config = if full then body.config or { } else removeAttrs body [ "imports" ];
          }
        ];
      all = concatMap load modules;
      options = foldl' (tree: module: lib.recursiveUpdate tree module.options) { } all;
      config = evaluate "" options (map (module: module.config) all);
    in
    {
      inherit config options;
    };

  equal =
    path: values:
    if all (value: value == head values) values then
      head values
    else
      throw "the option `${path}' has conflicting definitions";
  mkType = name: check: {
    inherit name check;
    merge = equal;
  };

  types = {
    anything = mkType "anything" (_: true) // {
      merge =
        path: values:
        if all (value: isAttrs value && !(value ? outPath)) values then
          (types.attrsOf types.anything).merge path values
        else
          equal path values;
    };
    bool = mkType "boolean" isBool;
    enum = words: mkType "one of ${toString words}" (value: elem value words);
    int = mkType "signed integer" isInt;
    ints.between =
      from: to:
      mkType "integer between ${toString from} and ${toString to}" (v: isInt v && v >= from && v <= to);
    lines = mkType "strings concatenated with \"\\n\"" isString // {
      merge = _: lib.concatStringsSep "\n";
    };
    package = mkType "package" (value: isAttrs value && value ? outPath);
    path = mkType "absolute path" (value: match "/.*" (toString value) != null);
    port = types.ints.between 0 65535;
    str = mkType "string" isString;
    strMatching =
      pattern: mkType "string matching the pattern ${pattern}" (v: isString v && match pattern v != null);

    attrsOf =
      element:
      mkType "attribute set of ${element.name}" isAttrs
      // {
        merge =
          path: values:
          let
            sets = concatMap pushed values;
            defined = name: concatMap (set: lib.optional (set ? ${name}) set.${name}) sets;
            present = filter (name: effective (defined name) != [ ]) (concatMap attrNames sets);
          in
          lib.genAttrs present (name: mergeTyped "${path}.${name}" element (defined name));
      };
    either =
      a: b:
      mkType "${a.name} or ${b.name}" (value: a.check value || b.check value)
      // {
        merge = path: values: (if all a.check values then a else b).merge path values;
      };
    listOf =
      element:
      mkType "list of ${element.name}" isList
      // {
        merge =
          path: values:
          concatMap (item: map (one: mergeTyped path element [ one ]) (decided item)) (concatLists values);
      };
    nullOr =
      type:
      mkType "null or ${type.name}" (value: value == null || type.check value)
      // {
        merge =
          path: values:
          if any (value: value == null) values then equal path values else type.merge path values;
      };
    submodule =
      module:
      mkType "submodule" isAttrs
      // {
        merge =
          _: values:
          (evalModules {
            modules = [ module ] ++ map (config: { inherit config; }) values;
          }).config;
      };
  };
in
{
  inherit evalModules types;

  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };
  mkMerge = contents: {
    _type = "merge";
    inherit contents;
  };
  mkOverride = priority: content: {
    _type = "override";
    inherit priority content;
  };
  mkDefault = lib.mkOverride priorities.default;
  mkForce = lib.mkOverride priorities.force;

  # lib.mkOption: of its arguments those that the flake uses.
  mkOption =
    {
      apply ? null,
      default ? null,
      defaultText ? null,
      description ? null,
      example ? null,
      internal ? false,
      type ? types.anything,
    }@arguments:
    arguments
    // {
      _type = "option";
      inherit type;
    };
  mkEnableOption =
    name:
    lib.mkOption {
      type = types.bool;
      default = false;
      description = "Whether to enable ${name}.";
    };
  literalMD = text: {
    _type = "literalMD";
    inherit text;
  };
}
