"""The arguments that a forward takes: those that it names, and those that it reads from `**kwargs` or passes on."""

import ast
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import nn

# Methods of a dictionary whose first argument is a key.
_LOOKUPS = ("get", "pop", "setdefault")
# Of modules and methods that pass arguments on to each other: more are a circle.
_MAX_DEPTH = 20


@dataclass(frozen=True)
class Arguments:
    """Arguments of a forward.

    Args:
        names (`dict[str, None]`): In order, as keys.
        is_strict (`bool`): Others raise an error.
        are_all (`bool`): No other argument is read.
    """

    names: dict[str, None] = field(default_factory=dict)
    is_strict: bool = False
    are_all: bool = True

    def __or__(self, other: "Arguments") -> "Arguments":
        """Arguments that are passed on to both: what a strict one does not name cannot be passed."""
        names = {
            name: None
            for name in self.names | other.names
            if (name in self.names or not self.is_strict) and (name in other.names or not other.is_strict)
        }
        return Arguments(names, self.is_strict or other.is_strict, self.are_all and other.are_all)


# The names under which models of transformers take their first input.
MAIN_INPUTS = ("input_ids", "inputs_embeds", "pixel_values", "input_values", "input_features")


def forward_parameters(module: nn.Module) -> list[inspect.Parameter]:
    """The parameters of a module's forward, those of TorchScript included."""
    if isinstance(module, torch.jit.ScriptModule):
        forward: Any = module.forward
        names = [argument.name for argument in forward.schema.arguments[1:]]  # the first is the module itself
        return [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    return list(inspect.signature(module.forward).parameters.values())


def sole_input(module: nn.Module) -> str | None:
    """The name of the one input of a module, if it is a name of its own such as x, which no column has to have.

    None for a forward that requires several inputs, or none, or names its input as transformers does.
    """
    parameters = forward_parameters(module)
    if any(parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) for parameter in parameters):
        return None
    required = [parameter.name for parameter in parameters if parameter.default is parameter.empty]
    return required[0] if len(required) == 1 and required[0] not in MAIN_INPUTS else None


def takes_any_keyword(parameters: list[inspect.Parameter]) -> bool:
    """Whether one of the parameters is `**kwargs`."""
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def named(parameters: list[inspect.Parameter]) -> dict[str, None]:
    """The names of parameters that are passed by name, as keys."""
    return dict.fromkeys(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))


def keywords_read(
    owner: nn.Module, function: Callable[..., Any], of_module: Callable[[nn.Module], Arguments]
) -> Arguments | None:
    """What a method of a module does with its `**kwargs`, from its source.

    Understood are keys (`kwargs["mask"]`, `kwargs.get("mask")`, `"mask" in kwargs`) and calls that pass all on, of modules
    and methods below `self` and of `super()`.

    Args:
        owner (`nn.Module`): Its `self`.
        function (`Callable`): The bound method; it has `**kwargs`.
        of_module (`Callable`): module -> its `Arguments`.

    Returns:
        `Arguments`, without those that the signature names; None without a source, or with another use of `**kwargs`.
    """
    return _Reader(owner, of_module).read(function, _MAX_DEPTH)


class _Reader:
    def __init__(self, owner: nn.Module, of_module: Callable[[nn.Module], Arguments]):
        self.owner, self.of_module = owner, of_module

    def read(self, function: Callable[..., Any], depth: int) -> Arguments | None:
        plain = getattr(inspect.unwrap(function), "__func__", inspect.unwrap(function))
        tree = _tree_of(plain)
        if tree is None or tree.args.kwarg is None or not tree.args.args or depth == 0:
            return None
        self_name, kwargs = tree.args.args[0].arg, tree.args.kwarg.arg
        parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        keys: dict[str, None] = {}
        passed: list[Arguments] = []
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Name) and node.id == kwargs):
                continue
            parent = parents[node]
            if isinstance(parent, ast.keyword) and isinstance(call := parents[parent], ast.Call):
                target = self._target(call.func, self_name, plain)
                recipient = None if target is None else self._of_target(target, depth)
                if recipient is None:
                    return None
                passed.append(_without_given(recipient, target, call))
            elif (key := _key(node, parent, parents)) is not None:
                keys[key] = None
            else:
                return None
        result = passed[0] if passed else Arguments()
        for other in passed[1:]:
            result = result | other
        return Arguments(keys | result.names, result.is_strict, result.are_all)

    def _of_target(self, target: Any, depth: int) -> Arguments | None:
        """The arguments of a module or of a bound method that `**kwargs` is passed on to."""
        if isinstance(target, nn.Module):
            return self.of_module(target)
        owner = getattr(target, "__self__", None)
        if not isinstance(owner, nn.Module):
            return None
        if target.__name__ in ("forward", "__call__") and owner is not self.owner:
            return self.of_module(owner)
        parameters = list(inspect.signature(target).parameters.values())
        if not takes_any_keyword(parameters):
            return Arguments(named(parameters), is_strict=True)
        read = _Reader(owner, self.of_module).read(target, depth - 1)
        return None if read is None else Arguments(named(parameters) | read.names, read.is_strict, read.are_all)

    def _target(self, node: ast.expr, self_name: str, function: Callable[..., Any]) -> Any:
        """The object that an expression such as `self.layers[0].encode` names; None for others."""
        if isinstance(node, ast.Name):
            return self.owner if node.id == self_name else None
        if isinstance(node, ast.Attribute) and _is_super(node.value):
            return _inherited(self.owner, function, node.attr)
        if isinstance(node, (ast.Attribute, ast.Subscript)):
            base = self._target(node.value, self_name, function)
            if isinstance(node, ast.Attribute):
                return None if base is None else getattr(base, node.attr, None)
            if isinstance(base, nn.Module) and isinstance(node.slice, ast.Constant):
                try:
                    return cast("Any", base)[node.slice.value]
                except (KeyError, IndexError, TypeError):
                    return None
        return None


def _tree_of(function: Callable[..., Any]) -> ast.FunctionDef | None:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
    return tree if isinstance(tree, ast.FunctionDef) else None


def _key(node: ast.Name, parent: ast.AST, parents: dict[ast.AST, ast.AST]) -> str | None:
    """The key that an expression looks up in the dictionary `node`."""
    key: ast.AST | None = None
    if isinstance(parent, ast.Subscript) and parent.value is node:
        key = parent.slice
    elif isinstance(parent, ast.Attribute) and parent.attr in _LOOKUPS:
        call = parents[parent]
        key = call.args[0] if isinstance(call, ast.Call) and call.args else None
    elif isinstance(parent, ast.Compare) and isinstance(parent.ops[0], (ast.In, ast.NotIn)):
        key = parent.left
    return key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else None


def _is_super(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


def _inherited(owner: nn.Module, function: Callable[..., Any], name: str) -> Any:
    """The method that `super()` finds in a method of `owner`; None if the class of the method is not found."""
    for cls in type(owner).__mro__:
        if any(member is function for member in vars(cls).values()):
            return getattr(super(cls, owner), name, None)
    return None


def _without_given(arguments: Arguments, target: Any, call: ast.Call) -> Arguments:
    """Arguments without those that the call passes itself, by position or by name."""
    is_module = isinstance(target, nn.Module)
    parameters = forward_parameters(target) if is_module else list(inspect.signature(target).parameters.values())
    num_positions = sum(not isinstance(argument, ast.Starred) for argument in call.args)
    given = {parameter.name for parameter in parameters[:num_positions]}
    given |= {keyword.arg for keyword in call.keywords if keyword.arg is not None}
    names = {name: None for name in arguments.names if name not in given}
    return Arguments(names, arguments.is_strict, arguments.are_all)
