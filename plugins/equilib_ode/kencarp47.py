"""The stiffly accurate L-stable 4(3) pair of Kennedy & Carpenter with seven stages, the first of them explicit.

C. A. Kennedy & M. H. Carpenter, Higher-order additive Runge-Kutta schemes for ordinary differential equations, Applied
Numerical Mathematics 136 (2019), 183-205: the implicit part of ARK4(3)7L[2]SA₁. Its nodes lie in the step, so that f is
not evaluated beyond its end, unlike Kværnø's. The interpolant is the smallest one of order 4 by quartics that is
continuously differentiable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from equilib_ode.esdirk import ESDIRK
from equilib_ode.tableau import ButcherTableau

GAMMA = 1235 / 10000
A3, A4 = 624185399699 / 4186980696204, 1258591069120 / 10082082980243
A5, A6 = -436103496990 / 5971407786587, -2207373168298 / 14430576638973

KENCARP47 = ButcherTableau(
    a=(
        (),
        (GAMMA, GAMMA),
        (A3, A3, GAMMA),
        (A4, A4, -322722984531 / 8455138723562, GAMMA),
        (A5, A5, -2689175662187 / 11046760208243, 4431412449334 / 12995360898505, GAMMA),
        (
            A6,
            A6,
            242511121179 / 3358618340039,
            3145666661981 / 7780404714551,
            5882073923981 / 14490790706663,
            GAMMA,
        ),
        (
            0.0,
            0.0,
            9164257142617 / 17756377923965,
            -10812980402763 / 74029279521829,
            1335994250573 / 5691609445217,
            2273837961795 / 8368240463276,
            GAMMA,
        ),
    ),
    error=(
        0.0,
        0.0,
        4469248916618 / 8635866897933 - 9164257142617 / 17756377923965,
        10812980402763 / 74029279521829 - 621260224600 / 4094290005349,
        696572312987 / 2942599194819 - 1335994250573 / 5691609445217,
        1532940081127 / 5565293938103 - 2273837961795 / 8368240463276,
        2441 / 20000 - GAMMA,
    ),
    interpolant=(
        (1.0, -3.9761098548410625, 4.952219709682121, -1.9761098548410607),
        (0.0, 1.5936302062140884, -3.187260412428187, 1.593630206214096),
        (0.0, 0.7839441440965471, 0.4965546250765833, -0.7643880408557114),
        (0.0, 1.073663938359261, -2.73158213247279, 1.5118546301749627),
        (0.0, 1.7346967804760238, -2.5304716173912727, 1.0305053228054426),
        (0.0, -1.6528820448754433, 4.39265348867471, -2.4680490940683097),
        (0.0, 0.4430568305705782, -1.3921136611411589, 1.0725568305705795),
    ),
    order=4,
    embedded_order=3,
    interpolant_order=4,
)


@dataclass(frozen=True)
class KenCarp47(ESDIRK):
    """Kennedy & Carpenter's L-stable method of order 4 with six implicit stages: for stiff equations."""

    tableau: ClassVar[ButcherTableau] = KENCARP47
