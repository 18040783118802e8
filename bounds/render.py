"""Statements as LaTeX, MathML and plain text.

The printers keep a formula as papers write it: ``2(1-beta)`` stays a product, factors come as
number, constant, sum, hyperparameter (``2(1-beta) Delta/(eta T)``), and sums list the terms of the
starting point first, then the step's, then the noise's. Measured quantities and symbols are shown
by their own ``latex``; plain text uses their meaning and Unicode letters.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from html import unescape
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import sympy as sp
from sympy.printing.latex import LatexPrinter
from sympy.printing.mathml import MathMLPresentationPrinter
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.pretty.pretty import PrettyPrinter
from sympy.printing.pretty.pretty_symbology import pretty_symbol, pretty_use_unicode
from sympy.printing.pretty.stringpict import prettyForm
from sympy.printing.str import StrPrinter

from bounds.symbol import Measured, Symbol

if TYPE_CHECKING:
    from bounds.claim import Claim, Condition
    from bounds.statement import Statement

__all__ = ["claim_latex", "expression_latex", "formulas", "latex", "mathml", "text"]

_LATEX_SENSES = {"<=": r"\leq", ">=": r"\geq", "==": "=", "<": "<", ">": ">"}
_SIGNS = {"<=": "≤", ">=": "≥", "==": "=", "<": "<", ">": ">"}

# How early a symbol comes in a product ("+" stands for a sum), and a term in a sum.
_FACTORS = (
    "beta", "theta", "c", "L", "L0", "ell", "mu", "G", "kappa", "L1", "alpha", "eta", "eta0", "+",
    "Delta", "Bf", "sigma", "psi", "lam", "lambda_", "T", "t", "C", "S", "B",
)  # fmt: skip
_TERMS = ("Delta", "Bf", "lam", "L0", "L", "ell", "G", "L1", "sigma", "psi")
_NAMED = re.compile("&([A-Za-z]+);")
_LETTERS = {"ell": "ℓ", "varepsilon": "ε", "vartheta": "ϑ"}


def latex(statement: Statement) -> str:
    r"""The statement in LaTeX: its claim, then what its symbols stand for and its conditions.

    >>> from bounds import sngm
    >>> print(latex(sngm.lemma_2))
    \max_{t\leq T}\|u_t\| \leq \frac{1}{1 - \beta}
    """
    printer = _latex_printer()
    parts = [claim_latex(statement.claim)]
    given = [rf"{s.latex} = {printer.doprint(_arranged(e))}" for s, e in _prescribed(statement)]
    limits = [_relation(printer.doprint, c, _LATEX_SENSES) for c in statement.conditions]
    if given:
        parts.append(r"\mathrm{where}\ " + r",\ ".join(given))
    if limits:
        parts.append(r"\mathrm{for}\ " + r",\ ".join(limits))
    return r",\quad ".join(parts)


def expression_latex(expression: sp.Expr) -> str:
    r"""One expression in LaTeX, such as a claim's left side for an axis label.

    >>> from bounds.quantities import gradient_norm_at_w
    >>> print(expression_latex(gradient_norm_at_w))
    \|\nabla F(w)\|
    """
    return str(_latex_printer().doprint(_arranged(expression)))


def claim_latex(claim: Claim) -> str:
    r"""The claim alone in LaTeX.

    >>> from bounds import Claim
    >>> from bounds.notation import Delta, L, T, beta
    >>> from bounds.quantities import gradient_norm_at_w
    >>> print(claim_latex(Claim(gradient_norm_at_w, "<=", 2 * Delta * (1 - beta) / T)))
    \|\nabla F(w)\| \leq \frac{2 \left(1 - \beta\right) \Delta}{T}
    """
    printer = _latex_printer()
    right = printer.doprint(_arranged(claim.rhs))
    if claim.big_o:
        right = rf"O\left({right}\right)"
    ending = ""
    if claim.mode == "every run":
        ending = r"\ \mathrm{in\ every\ run}"
    elif claim.failure is not None:
        chance = printer.doprint(_arranged(claim.failure))
        ending = rf"\ \mathrm{{with\ probability}}\ \geq 1 - {chance}"
    return f"{printer.doprint(_arranged(claim.lhs))} {_LATEX_SENSES[claim.sense]} {right}{ending}"


def mathml(statement: Statement) -> str:
    """The statement in presentation MathML, one ``<math>`` element.

    >>> from bounds import sngm
    >>> mathml(sngm.lemma_2)[:48]
    '<math xmlns="http://www.w3.org/1998/Math/MathML"'
    """
    printer = _MathML({"order": "none"})

    def show(expression: sp.Expr) -> str:
        inside = printer._print(_arranged(expression)).toxml()
        return f"<mrow>{_NAMED.sub(_character, inside)}</mrow>"

    claim = statement.claim
    right = show(claim.rhs)
    if claim.big_o:
        right = f"<mi>O</mi><mrow><mo>(</mo>{right}<mo>)</mo></mrow>"
    parts = [f"{show(claim.lhs)}<mo>{escape(_SIGNS[claim.sense])}</mo>{right}"]
    if claim.mode == "every run":
        parts[0] += "<mtext>&#160;in every run</mtext>"
    elif claim.failure is not None:
        chance = show(claim.failure)
        parts[0] += (
            f"<mtext>&#160;with probability at least&#160;</mtext><mn>1</mn><mo>-</mo>{chance}"
        )
    given = [f"{show(s)}<mo>=</mo>{show(e)}" for s, e in _prescribed(statement)]
    limits = [
        f"{show(c.lhs)}<mo>{escape(_SIGNS[c.op])}</mo>{show(c.rhs)}" for c in statement.conditions
    ]
    for word, group in (("where", given), ("for", limits)):
        if group:
            parts.append(f"<mtext>{word}&#160;</mtext>" + "<mo>,</mo>".join(group))
    body = '<mo>,</mo><mspace width="1em"/>'.join(parts)
    return (
        '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">'
        f"<mrow>{body}</mrow></math>"
    )


def text(statement: Statement, width: int | None = None) -> str:
    """The statement for a terminal: its label, the claim, what symbols stand for, conditions.

    A formula wider than ``width`` columns is written in one line, broken between its terms.

    >>> from bounds import sngm
    >>> print(text(sngm.lemma_2))
    Lemma 2 (sngm.lemma_2, printed)
                                                  1
      max_{t<=T} ||u_t||, the momentum buffer ≤ ─────
                                                1 - β
    >>> print(text(sngm.lemma_2, 40))
    Lemma 2 (sngm.lemma_2, printed)
      max_{t<=T} ||u_t||, the momentum
        buffer ≤ 1/(1 - β)
    """
    blocks = [f"{statement.label} ({statement.key}, {statement.form})"]
    blocks += formulas(statement, width)
    if statement.assumptions:
        assumed = "assuming " + "; ".join(str(a) for a in statement.assumptions)
        blocks.append(_wrapped(assumed, width))
    return "\n".join(blocks)


def formulas(statement: Statement, width: int | None = None) -> list[str]:
    """The claim, what symbols stand for and the conditions, as :func:`text` shows them."""
    claim = statement.claim
    blocks = [_relation_text("", claim.lhs, _SIGNS[claim.sense], claim.rhs, width, claim.big_o)]
    if claim.mode == "every run":
        blocks.append("  in every run")
    elif claim.failure is not None:
        blocks.append(f"  with probability at least 1 - {claim.failure}")
    blocks += [_relation_text("where ", s, "=", e, width) for s, e in _prescribed(statement)]
    blocks += [
        _relation_text("for ", c.lhs, _SIGNS[c.op], c.rhs, width) for c in statement.conditions
    ]
    return blocks


def _relation_text(
    word: str, left: sp.Expr, sign: str, right: sp.Expr, width: int | None, big_o: bool = False
) -> str:
    uses_unicode = pretty_use_unicode(True)
    try:
        printer = _Pretty({"order": "none", "use_unicode": True, "wrap_line": False})
        shown = printer._print(_arranged(right))
        if big_o:
            shown = prettyForm(*prettyForm(*shown.parens()).left("O"))
        whole = prettyForm(word).right(printer._print(_arranged(left)), f" {sign} ", shown)
        rows = [f"  {row.rstrip()}" for row in str(prettyForm(*whole)).splitlines()]
        if width is None or max(map(len, rows)) <= width:
            return "\n".join(rows)
        linear = _Linear({"order": "none"})
        after = linear.doprint(_arranged(right))
        line = f"{word}{linear.doprint(_arranged(left))} {sign} {f'O({after})' if big_o else after}"
    finally:
        pretty_use_unicode(uses_unicode)
    return _wrapped(line.replace("**", "^"), width)


def _wrapped(line: str, width: int | None) -> str:
    if width is None:
        return f"  {line}"
    return textwrap.fill(line, max(width, 20), initial_indent="  ", subsequent_indent="    ",
                         break_long_words=False, break_on_hyphens=False)  # fmt: skip


def _character(entity: re.Match[str]) -> str:
    """XML knows five named entities, and sympy writes HTML's."""
    return entity[0] if entity[1] in ("amp", "lt", "gt") else unescape(entity[0])


def _prescribed(statement: Statement) -> list[tuple[Symbol, sp.Expr]]:
    return [(symbol, sp.sympify(value)) for symbol, value in statement.prescription.items()]


def _relation(show: Callable[[sp.Expr], str], condition: Condition, signs: dict[str, str]) -> str:
    left, right = show(_arranged(condition.lhs)), show(_arranged(condition.rhs))
    return f"{left} {signs[condition.op]} {right}"


# --- printers -----------------------------------------------------------------------------------
def _latex_printer() -> LatexPrinter:
    return LatexPrinter({"order": "none"})


class _Pretty(PrettyPrinter):
    def _print_Symbol(self, symbol: sp.Symbol) -> prettyForm:
        return prettyForm(_letters(symbol))

    def _print_nth_root(self, base: sp.Expr, root: sp.Expr) -> prettyForm:
        if root == 2:
            return super()._print_nth_root(base, root)
        return self._print(base) ** prettyForm(f"1/{root}")

    def _print_Min(self, expression: sp.Expr) -> prettyForm:
        return self._helper_print_function(expression.func, expression.args, func_name="min")

    def _print_Max(self, expression: sp.Expr) -> prettyForm:
        return self._helper_print_function(expression.func, expression.args, func_name="max")


class _Linear(StrPrinter):
    def _print_Symbol(self, symbol: sp.Symbol) -> str:
        return _letters(symbol)


class _MathML(MathMLPresentationPrinter):
    def _print_Symbol(self, symbol: sp.Symbol, style: str = "plain") -> Any:
        element = self.dom.createElement("mtext" if isinstance(symbol, Measured) else "mi")
        element.appendChild(
            self.dom.createTextNode(escape(_letters(symbol)))
        )  # sympy writes it raw
        return element

    def _print_Mul(self, product: sp.Mul) -> Any:
        # Sympy's own reorders the factors.
        above, below = sp.fraction(product, exact=True)
        if below != 1:
            element = self.dom.createElement("mfrac")
            element.appendChild(self._print(above))
            element.appendChild(self._print(below))
            return element
        row = self.dom.createElement("mrow")
        factors = list(above.args) if isinstance(above, sp.Mul) else [above]
        if factors[0] == -1 and len(factors) > 1:
            row.appendChild(self._operator("-"))
            factors = factors[1:]
        for i, factor in enumerate(factors):
            if i:
                row.appendChild(self._operator("⁢"))  # invisible times
            row.appendChild(self.parenthesize(factor, PRECEDENCE["Mul"]))
        return row

    def _operator(self, sign: str) -> Any:
        element = self.dom.createElement("mo")
        element.appendChild(self.dom.createTextNode(sign))
        return element


def _letters(symbol: sp.Symbol) -> str:
    """A symbol in Unicode: a measured quantity by its meaning, a letter by its LaTeX."""
    if isinstance(symbol, Measured):
        return symbol.meaning or symbol.name
    shape = re.fullmatch(r"\\?([A-Za-z]+)(?:_\{?\\?(\w+)\}?)?", getattr(symbol, "latex", ""))
    if not shape:
        return str(pretty_symbol(symbol.name))
    letter, index = shape.groups()
    if letter in _LETTERS:
        return _LETTERS[letter] + (f"_{index}" if index else "")
    return str(pretty_symbol(f"{letter}_{index}" if index else letter))


# --- the order of factors and terms -------------------------------------------------------------
def _arranged(expression: sp.Expr) -> sp.Expr:
    """The expression rebuilt, unevaluated, with its arguments in the order they are written."""
    if isinstance(expression, sp.Add) and any(term.is_Rational for term in expression.args):
        content, rest = expression.primitive()
        if content.is_Integer and content != 1:  # 2 - 2 beta is written 2 (1 - beta)
            return sp.Mul(content, _arranged(rest), evaluate=False)
    if isinstance(expression, sp.Add):
        terms = sorted(expression.args, key=_term_key)
        return sp.Add(*(_arranged(term) for term in terms), evaluate=False)
    if isinstance(expression, sp.Mul):
        number, factors = sp.Integer(1), []
        for factor in _flat(expression):
            if isinstance(factor, sp.Add) and any(term.is_Rational for term in factor.args):
                content, factor = factor.primitive()
                number *= content
            if factor.is_Rational:
                number *= factor
            else:
                factors.append(factor)
        factors = [_arranged(_enclosed(factor)) for factor in sorted(factors, key=_factor_key)]
        if number != 1:
            factors.insert(0, number)
        return sp.Mul(*factors, evaluate=False) if len(factors) > 1 else factors[0]
    if isinstance(expression, sp.Pow):
        base, exponent = _arranged(_enclosed(expression.base)), _arranged(expression.exp)
        return sp.Pow(base, exponent, evaluate=False)
    if isinstance(expression, (sp.Function, sp.Max, sp.Min)):
        return expression.func(*(_arranged(a) for a in expression.args), evaluate=False)
    return expression


def _flat(product: sp.Expr) -> list[sp.Expr]:
    if not isinstance(product, sp.Mul):
        return [product]
    return [factor for part in product.args for factor in _flat(part)]


def _enclosed(operand: sp.Expr) -> sp.Expr:
    """A measured difference, such as F(u) - F(w), in parentheses where it is an operand."""
    if not isinstance(operand, Measured) or not _is_difference(operand.latex):
        return operand
    return Measured(
        operand.name, f"({operand.meaning})", operand.units, rf"\left({operand.latex}\right)"
    )


def _is_difference(formula: str) -> bool:
    depth = 0
    for sign in formula.replace(r"\langle", "(").replace(r"\rangle", ")"):
        depth += (sign in "([{") - (sign in ")]}")
        if depth == 0 and sign in "+-":
            return "|" not in formula
    return False


def _place(name: str, order: tuple[str, ...]) -> int:
    return order.index(name) if name in order else len(order)


def _factor_key(factor: sp.Expr) -> tuple[int, str]:
    base = factor.base if isinstance(factor, sp.Pow) else factor
    if base.is_number:
        return -1, str(base)
    if isinstance(base, sp.Symbol):
        return _place(base.name, _FACTORS) + isinstance(base, Measured), base.name
    if isinstance(base, sp.Add):
        return _place("+", _FACTORS), str(base)
    return len(_FACTORS) + 2, str(base)


def _term_key(term: sp.Expr) -> tuple[bool, int, float, str]:
    symbols = term.free_symbols
    names = {symbol.name for symbol in symbols}
    alone = not any(not isinstance(symbol, Measured) for symbol in symbols)
    rank = -1 if alone else min(_place(name, _TERMS) for name in names)
    powers = (factor.as_base_exp() for factor in _flat(term))
    order = sum(max(0.0, float(p)) for base, p in powers if base.is_Symbol and p.is_number)
    return term.could_extract_minus_sign(), rank, order, str(term)
