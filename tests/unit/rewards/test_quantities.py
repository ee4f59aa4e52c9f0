"""Quantities as people write them: each verdict is an annotator's."""

import random
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlaa_ray.rewards.verifiers.digit import verify_digit
from vlaa_ray.rewards.verifiers.number import verify_number
from vlaa_ray.rewards.verifiers.number_digits import digits_value
from vlaa_ray.rewards.verifiers.number_words import chinese_number
from vlaa_ray.rewards.verifiers.quantities import read_quantities
from vlaa_ray.rewards.verifiers.quantity_tokens import tokens_of
from vlaa_ray.rewards.verifiers.stated_quantity import only_quantity, stated_quantity


def stated(text, counts=True):
    """Return the number that the text states, as text; None if it states none."""
    quantity = stated_quantity(text, counts=counts)
    return None if isinstance(quantity, str) else str(quantity.value)


def cases(table):
    rows = [line.rsplit("|", 1) for line in table.strip("\n").split("\n")]
    return [
        (text.rstrip().replace("⏎", "\n"), None if value.strip() == "no" else value.strip()) for text, value in rows
    ]


SIGNS = r"""
-3|-3
−3|-3
–3|-3
－3|-3
﹣3|-3
- 3|-3
minus 3|-3
negative 3|-3
Minus three|-3
negative twenty-one|-21
负3|-3
负三|-3
零下3度|-3
-$3|-3
$-3|-3
\(-3\)|-3
$-3$|-3
x = -3|-3
x = - 3|-3
The temperature is -3 °C.|-3
3 degrees below zero|-3
-1/2|-1/2
-3 1/2|-7/2
-\frac{1}{2}|-1/2
-1.5e3|-1500
**-3**|-3
答案是-3|-3
结果为−3|-3
温度是－3℃|-3
+3|3
A-3|3
The answer - 3|3
The result: –3|-3
5 - 2 = 3|3
2 - 5 = -3|-3
"""

GROUPS = r"""
1,234|1234
1 234|1234
1 234 567|1234567
1'234|1234
1’234|1234
1_234|1234
1 234|1234
1\,234|1234
9{,}500|9500
9,\!500|9500
\$9{,}500|9500
$9,500|9500
12,34,567|1234567
1,23,456|123456
1,234.5|2469/2
1.234.567|1234567
1.234,5|2469/2
1 234,5|2469/2
1'234'567.25|4938269/4
The total is 1,250 clips.|1250
There are 72 clips, altogether.|72
72, as far as I can see|72
１，２３４|1234
1,234,56|no
0123|123
3,4,5|no
3, 4|no
3、4|no
3 4|no
1.2.3|no
version 2.0.1|no
"""

DECIMALS = r"""
3.5|7/2
3,5|7/2
12,25 €|49/4
0,5|1/2
0,125|1/8
.5|1/2
-.5|-1/2
It is .25|1/4
1.234|617/500
3.0|3
３.５|7/2
3.|3
3,14159|314159/100000
3.50 cm|7/2
"""

FRACTIONS = r"""
3/4|3/4
3 / 4|3/4
½|1/2
3½|7/2
3 ½ cups|7/2
2 1/2|5/2
2-1/2|5/2
5 and 1/2|11/2
two and a half|5/2
one half|1/2
three quarters|3/4
three-quarters|3/4
two thirds|2/3
half|1/2
\frac{3}{4}|3/4
\dfrac34|3/4
\frac 3 4|3/4
2\frac{1}{2}|5/2
\frac{x}{4}|no
\frac{\pi}{2}|no
3⁄4|3/4
三分之二|2/3
1e3|1000
1.5E+3|1500
2e-3|1/500
2×10^3|2000
2 x 10^3|2000
2x10^3|2000
2 × 10³|2000
2\times 10^{3}|2000
2 \cdot 10^{-3}|1/500
2*10**3|2000
2·10⁻³|1/500
10^6|1000000
10³|1000
2^10|1024
10^{-2}|1/100
2x10<sup>3</sup>|2000
1/0|no
x/2|no
2π|no
2√3|no
\sqrt{16}|no
sqrt(16)|no
3x|no
2 + 3|no
2 × 3|no
3x4|no
2 + 3 = 5|5
2 plus 3 equals 5|5
2^{99999}|no
"""

UNITS = r"""
5 cm^2|5
5 cm²|5
5cm2|5
5 cm³|5
5 \text{ cm}^{2}|5
5~\text{cm}^2|5
5 cm\textsuperscript{2}|5
5 cm<sup>2</sup>|5
5 m^{-1}|5
12 m/s^2|12
12 m s^-2|12
12 m·s⁻²|12
9.8\ \mathrm{m/s^2}|49/5
12 kg/m³|12
60 km/h|60
30°|30
30^\circ|30
30^{\circ}|30
30 degrees|30
$5 per hour|5
5 H2O molecules|5
USD 5|5
US$5|5
5'3"|no
5 feet 3 inches|no
1 hour 30 minutes|no
"""

WORDS = r"""
zero|0
three|3
Twenty|20
twenty-one|21
thirty five|35
TWELVE|12
nineteen|19
ninety-nine|99
one hundred|100
a hundred and five|105
one hundred twenty-three|123
two hundred and fifty|250
two thousand and five|2005
three hundred thousand|300000
a dozen|12
two dozen|24
half a dozen|6
a couple of dogs|2
a pair|2
one|1
only one|1
There is one.|1
There is one cat.|1
Just one!|1
one cat|1
The blue one.|no
the one on the left|no
this one|no
No idea which one|no
one can see it|no
twenty-first|no
a three-legged stool|no
dozens|no
three point five|7/2
There are three cubes and the answer is three.|3
There are **three** cubes.|3
three (3)|3
3 (three)|3
One red cube and two blue ones|no
一个|1
两个|2
三个|3
三|3
十|10
十二个|12
二十|20
二十一|21
三十五只|35
一百零五|105
一百二十三|123
一百五|150
两千|2000
两万五千|25000
有三只猫|3
答案是三|3
一共三个|3
二〇二四|2024
两百个|200
三四个|no
第三个|no
一样|no
另一个|no
"""

SCALES = r"""
1 million|1000000
1.2 million|1200000
1.2M|1200000
$1.2M|1200000
1.2k|1200
1.2K|1200
5 thousand|5000
5 hundred|500
3 dozen|36
2 billion|2000000000
3 bn|3000000000
2.5 million dollars|2500000
3万|30000
3.5万|35000
1.2亿|120000000
3百万|3000000
3万5千|35000
5千|5000
5千米|5
5千克|5
2 lakh|200000
3 crore|30000000
5 km|5
5 kg|5
5 m|5
300 K|300
2 million 500 thousand|2500000
"""

NEIGHBOURS = r"""
共有3个|3
一共3只|3
约3个|3
약3개|3
3つ|3
答案是3。|3
图中有12人|12
图1中有3个苹果|3
总共有5个，其中3个是红色|5
有３个|3
3個です|3
２５|25
「3」|3
共計8本|8
**3**|3
**73**.|73
The answer is **73**.|73
__3__|3
_3_|3
*3*|3
`3`|3
***3***|3
\textbf{3}|3
\mathbf{3}|3
$\boxed{\text{3}}$|3
<b>3</b>|3
"3"|3
(3)|3
[3]|3
B. 9|9
#3|3
x_1|no
v3|no
A3|no
"""

SEVERAL = r"""
10 (4 cubes and 6 spheres)|10
9 in total: 4 red and 5 blue|9
9: 4 red and 5 blue|9
There are 9 objects: 4 red and 5 blue.|9
There are 9 objects, 4 red and 5 blue.|9
4 red and 5 blue, 9 in total|9
4 red, 5 blue; 9 altogether|9
In total there are 9: 4 red and 5 blue|9
9 objects, including 4 red ones|9
9, of which 4 are red|9
9 (4 + 5)|9
9 = 4 + 5|9
9 - 4 red and 5 blue|9
9 – 4 red and 5 blue|9
9, because 4 + 5 = 9|9
4 cubes + 5 spheres = 9|9
There are 2 red and 1 blue, so 3 in all|3
First 4, then 5. The answer is 9.|9
The answer is 9. There are 4 red and 5 blue.|9
The number of cubes in the 2 boxes is 5.|5
Figure 2 shows 5 dogs.|5
In row 2 there are 5 dogs|5
In 2015 it was 12|12
The 3rd row has 5|5
3 out of 10|3
3 of the 10 cubes are red|3
Out of 10 cubes, 3 are red|3
1. 5 cubes|5
There are 5, not 4|5
not 4 but 5|5
I first saw 4. There are 5 cubes.|5
Total: 9|9
总共9个：4个红色，5个蓝色|9
4个红色和5个蓝色，共9个|9
3 or 4|no
3 or maybe 4|no
three or four|no
one or two|no
either 3 or 4|no
3-4|no
3–4|no
3~4|no
3 to 4|no
3 cm to 4 cm|no
between 3 and 5|no
between three and five|no
from 3 to 5|no
3或4个|no
3到5个|no
3至5|no
3个-5个|no
3~5个|no
3:40|no
3:40 pm|no
at 15:30|no
3点40分|no
2024-01-05|no
5/1/2024|no
January 5, 2024|no
5 January 2024|no
2024年1月5日|no
3:4|no
2 red and 3 blue|no
3 cubes and 4 spheres|no
not 3|no
There are not 3.|no
不是3|no
less than 3|no
fewer than 3 cubes|no
at least 3|no
at most 3|no
more than 3|no
3 or more|no
3 cubes or more|no
3+|no
> 3|no
\geq 3|no
至少3个|no
3个以上|no
30多个|no
half of 6|no
twice 3|no
about 7|7
approximately 7|7
maybe 7|7
约7个|7
7左右|7
I think there are 7 or so|7
=> 7|7
12 or a dozen|12
"""

ZERO = r"""
none|0
None.|0
There are none.|0
zero|0
There are no cats.|0
no cats|0
There are no visible dogs in the picture.|0
There aren't any.|0
There are not any cats.|0
I don't see any dogs.|0
nothing|0
not a single one|0
没有|0
没有猫|0
一个也没有|0
零|0
零个|0
0|0
nobody|0
no|no
No.|no
I have no idea.|no
There is no answer|no
None of the above|no
I do not know|no
not visible|no
没有答案|no
no more than 3|no
No, there are 3.|3
There is no doubt: 3|3
"""


MORE = r"""
The answer is 3|3
Answer: 3|3
answer: **3**|3
I count 3.|3
There are a total of 3 objects in the image.|3
3 objects|3
Three objects are visible: a cube, a sphere, and a cylinder.|3
There are 3 objects: a cube, two spheres.|3
3.5%|7/2
There are exactly four (4) apples.|4
four (4)|4
4 (four)|4
approx. 3|3
~3|3
≈3|3
roughly three|3
around 3|3
3 apples and no pears|3
There are no more than 3 cats|no
I see one cat and one dog.|1
There is one red cube and one blue cube|1
5 (five) apples|5
It's 3|3
It’s 3|3
there's one|1
There is only 1 cat.|1
x=3|3
n = 3|3
$x = 3$|3
x ≈ 3|3
\boxed{3}|3
\boxed{3 \text{ apples}}|3
\boxed{\text{three}}|3
\boxed{3 or 4}|no
The total number of objects is $3$.|3
The final count is 3!|3
3!|3
3?|3
3 / 1|3
Total = 4 + 5 = 9|9
4+5=9|9
4 + 5|no
9 (nine)|9
Count: 9|9
9 altogether, 4 red and 5 blue|9
nine: four red and five blue|9
4 red, 5 blue: 9|9
There are 4 red and 5 blue cubes. Total 9.|9
There are 4 red cubes and 5 blue cubes, making 9 in total.|9
4 red and 5 blue make 9|9
4 and 5 make 9|9
The red ones are 4 and the blue ones are 5|no
four or so|4
10 (ten), i.e. 4 cubes plus 6 spheres|10
10 = 4 + 6|10
10, made up of 4 cubes and 6 spheres|10
10 objects (4 cubes, 6 spheres)|10
10 [4 cubes and 6 spheres]|10
10; 4 cubes and 6 spheres|10
10. 4 cubes and 6 spheres|10
10 - 4 cubes and 6 spheres|10
10 — 4 cubes and 6 spheres|10
10⏎4 cubes⏎6 spheres|10
Cubes: 4⏎Spheres: 6⏎Total: 10|10
4 cubes, 6 spheres|no
either three or four|no
3/4 or 0.75|3/4
3 or 4 or 5|no
3, 4 or 5|no
maybe 3, maybe 4|no
3, possibly 4|no
3, or 4|no
3 (or 4)|no
3 (maybe 4)|no
somewhere between 3 and 5|no
anywhere from 3 to 5|no
in the range 3-5|no
3 – 5|no
3 — 5|no
3..5|no
3...5|no
[3, 5]|no
3 to 5 cubes|no
3 cubes to 5 cubes|no
5±1|no
10:30|no
10:30:15|no
10h30|no
3.40 pm|17/5
half past three|no
a quarter to four|no
01/05/2024|no
1.5.2024|no
05.01.2024|no
2024/01/05|no
2024.01.05|no
Jan 5|no
the 5th of January|no
May 5, 2024|no
March 5th|no
2 of 3|2
2 out of 3|2
1 in 4|no
twenty-five percent|25
fifty per cent|50
25 pct|25
百分之二十五|25
百分之25|25
25％|25
25 percentage points|25
%25|25
1/4 (25%)|1/4
25% = 0.25|1/4
one million|1000000
a million|1000000
one and a half million|1500000
1.5 million people|1500000
1,5 million|1500000
3 million|3000000
10 million and 500 thousand|10500000
half a million|500000
2.5 mio|2500000
€2.5bn|2500000000
3T|3
£3m|3000000
5 m long|5
12K|12000
12 k|12000
150亿元|15000000000
一百万|1000000
三千万|30000000
一亿|100000000
两亿三千万|230000000
1千|1000
1 thousand|1000
10^9|1000000000
1.5e6|1500000
9.11×10⁻³¹|911/1000000000000000000000000000000000
1.6 \times 10^{-19}|1/6250000000000000000
6.02e23|602000000000000000000000
5 × 10 ^ 3|5000
5 * 10^3|5000
5.0E+03|5000
1e-3|1/1000
10 to the power of 3|1000
10 squared|100
-0.5|-1/2
-.25|-1/4
-2,5|-5/2
(-3)|-3
( - 3 )|-3
-(3)|-3
−$1,234.50|-2469/2
- 1/2|-1/2
minus one half|-1/2
minus twenty|-20
negative 3.5|-7/2
negative one|-1
minus 1.2 million|-1200000
–½|-1/2
-½|-1/2
負三|-3
负二十|-20
-3 to -1|no
-3 or 3|no
±3|no
loss of 3|3
1 234,56|30864/25
1 234 567,89|123456789/100
1.234.567,89|123456789/100
CHF 1'234.50|2469/2
Rs. 12,34,567|1234567
₹12,34,567|1234567
1,234,567.89|123456789/100
1,234 and 567|no
1, 234|no
1 2 3|no
10 000|10000
100 000 people|100000
10 000 000|10000000
2 500 m|2500
1,000.00|1000
1.000,00|1000
1 000 000|1000000
1{,}234{,}567|1234567
1\;234|1234
1{\,}234|1234
9\,500|9500
12 000 €|12000
9.500|19/2
5 km²|5
5 ft^2|5
5 sq ft|5
5 in.²|5
5 kg m^2 s^{-2}|5
5 kg·m²/s²|5
5 mol^-1|5
5 W/m^2K|5
5 m^{2}|5
5\,m^2|5
5 \mathrm{cm^2}|5
5 \mathrm{~cm}^2|5
5 $cm^2$|5
5 $\text{cm}^2$|5
$5\ \text{cm}^{2}$|5
5 cm^{−1}|5
5 cm^(2)|5
5 cm**2|5
5 L/100 km|5
5 units^2|5
The area is 5 cm^2.|5
Area = 5cm²|5
5 CO2 molecules|5
5 m/s²|5
5 square metres|5
20 m^3/h|20
5 平方厘米|5
5cm^2 (area)|5
\boxed{3} or \boxed{4}|no
$\boxed{3}$ or $\boxed{4}$|no
\boxed{3}, \boxed{4}|no
\boxed{3} and \boxed{3}|3
First \boxed{3}. Wait, no: \boxed{4}|4
\boxed{25}\%|25
The answer is 5. I counted 7 chairs.|5
Answer: 5⏎Explanation: I saw 2 rows.|5
Answer: 3⏎Explanation: There are 2 red and 1 blue.|3
Answer:⏎5|5
I count 12 apples, 3 of which are green|12
12 apples, of which 3 are green|12
There are 12; 3 of them are green.|12
3 cats on 2 mats|3
There are 3 cats in 2 boxes.|3
In the 2 boxes there are 3 cats.|3
In 2015 sales rose by 12.5%|25/2
Let me count: 1, 2, 3, 4, 5. So there are 5 cubes.|5
1, 2, 3, 4, 5|no
There were 9, 5 left, so 4 remain|4
9 - 5 = 4|4
9 minus 5 is 4|4
9 minus 5 leaves 4|no
5 red cubes and 5 blue ones|5
three red, four blue, seven in all|7
There are seven: three red and four blue|7
ten (four cubes and six spheres)|10
ten objects, four of which are cubes|10
I'm not sure, maybe 3 or 4|no
It could be 3 or 4.|no
3 or 4, but I would say 4|no
3 or 4? The answer is 4.|4
between 3-5|no
between 3 and 5 cubes|no
3 and 5|no
3 & 4|no
3/4 cups|3/4
two to three|no
three to four cubes|no
3-4 cubes|no
2~3|no
2−3|no
5 - 6|no
three-four|no
10-12|no
1990-2000|no
at 3 o'clock|3
14:05|no
6:30 am|no
12/25|12/25
12/25/2023|no
25.12.2023|no
2024年|2024
version 1.2|6/5
v1.2|no
192.168.0.1|no
555-1234|no
1st|1
第3|3
no more|no
about 7 or 8|no
about 70%|70
7 (approximately)|7
7 approximately|7
approximately seven|7
around 7 objects|7
nearly 7|7
7 objects in total (4 cubes, 3 spheres)|7
total of 7: 4 cubes + 3 spheres|7
7 = 4 cubes + 3 spheres|7
4 cubes and 3 spheres, so 7|7
4 cubes and 3 spheres, 7 objects|7
Objects: 7 (cubes: 4, spheres: 3)|7
There are 7 objects in the picture: 4 cubes, 2 spheres and a cone.|7
7, namely 4 cubes and 3 spheres|7
7 (seven) objects: four cubes and three spheres|7
共7个（4个方块和3个球）|7
7个：4个方块，3个球|7
7个，其中4个方块|7
4个方块加3个球等于7个|7
4加3等于7|7
大约7个|7
7个左右|7
不到7个|no
3个或4个|no
三到五个|no
两三个|no
十几个|no
几十个|no
没有3个|no
共有 3 个|3
答案：3|3
答：3个|3
一共有三只猫|3
有两个人|2
图片中有十二个苹果|12
二十三|23
一百|100
一千二百|1200
三十个|30
两百五十|250
负十五|-15
零下五度|-5
5个人3只猫|no
三角形|no
四边形|no
一只|1
一|1
一张|1
五|5
九只|9
五只|5
四|4
六个苹果|6
七|7
八个|8
仅有1个|1
只有一个|1
图中有3个多边形|3
共有不同的3种|3
三个多边形|3
3多个|no
不止3个|no
"""

TABLES = (SIGNS, GROUPS, DECIMALS, FRACTIONS, UNITS, WORDS, SCALES, NEIGHBOURS, SEVERAL, ZERO, MORE)


@pytest.mark.parametrize(("text", "value"), [row for table in TABLES for row in cases(table)])
def test_the_number_that_a_text_states(text, value) -> None:
    assert stated(text) == value


@pytest.mark.parametrize(
    ("answer", "gold", "params", "value"),
    [
        ("25 percent", 0.25, {}, 1),
        ("25 per cent", 25, {}, 1),
        (r"25\%", "25%", {}, 1),
        ("0.25", "25 per cent", {}, 1),
        ("百分之二十五", 0.25, {}, 1),
        ("a quarter of the people", "25%", {}, 1),
        ("25%", "0.25%", {}, 0),
        ("1.2 million", 1_200_000, {}, 1),
        ("1,200,000", "1.2 million", {}, 1),
        ("1.2k", 1.2, {}, 0),
        ("5 thousand", 5, {}, 0),
        ("3.5万", 35_000, {}, 1),
        ("12.4 cm²", "12.5 cm²", {"rel_tol": 0.01}, 1),
        ("12.3 cm²", "12.5 cm²", {"rel_tol": 0.01}, 0),
        ("0.3", 0.1 + 0.2, {"abs_tol": 1e-15}, 1),
        ("2/3", "0.667", {"abs_tol": 0.001}, 1),
        ("2/3", "0.667", {}, 0),
        ("1e-7", 1e-07, {}, 1),
        ("12,5", 12.5, {}, 1),
        ("3-4 cm", 4, {}, 0),
        ("more than 12.5", 12.5, {}, 0),
        ("none", 0, {}, 0),
        ("In 2015 it was 12.5%", 12.5, {}, 1),
        ("9.11×10⁻³¹", "6.63×10⁻³⁴", {"rel_tol": 0.01}, 0),
    ],
)
def test_measured_quantities(answer, gold, params, value) -> None:
    assert verify_number(answer, gold, **params).value == value


@pytest.mark.parametrize(
    "gold",
    ["twenty-one", "two dozen", "1,234", "1.2 million", "3½", r"\frac{3}{4}", "1.5e3", "12.5 cm^2", "25 percent", "-3",
     "负3", "三十", "3个", r"\boxed{3}", "3 (three)", ".5", "9{,}500", 3, -2.5, 1e-07, 1e16, "zero", "about 7"],
)  # fmt: skip
def test_a_gold_is_its_own_answer(gold) -> None:
    assert verify_digit(str(gold), gold).value == verify_number(str(gold), gold).value == 1.0


@pytest.mark.parametrize(
    "gold",
    ["none", "3-4", "2 or 3", "3:40", "2024-01-05", "at least 3", "not 3", "", " ", "many", "9" * 5_000, {},
     "{" * 2_000, 10**4_000, -(10**41), float("inf"), float("nan"), True, None, [3], b"3", "\ud800", "3" + "x" * 30_000,
     "1/0", "2^99999"],
)  # fmt: skip
def test_a_gold_that_is_not_one_number_makes_the_sample_invalid(gold) -> None:
    for verdict in (verify_digit("3", gold), verify_number("", gold)):
        assert not verdict.valid and "gold is not one number" in verdict.reason


def test_a_gold_of_more_digits_than_python_writes_is_invalid() -> None:
    assert "digits" in verify_digit("3", 10**5_000).reason


@given(st.text(max_size=60) | st.text("0123456789.,/^-–×e {}()\\fracboxed%三十万负一个 orand\n$*", max_size=60))
def test_no_text_makes_a_verifier_raise(text) -> None:
    for verdict in (verify_digit(text, 3), verify_digit("3", text), verify_number(text, text)):
        assert verdict.valid == (verdict.value is not None) and (verdict.value == 1.0 or verdict.reason)


def english(number: int) -> str:
    """Return a number below a million in words, in the way of schoolbooks."""
    if number >= 1000:
        rest = number % 1000
        joint = " and " if 0 < rest < 100 else " "
        return english(number // 1000) + " thousand" + (joint + english(rest) if rest else "")
    if number >= 100:
        return english(number // 100) + " hundred" + (" and " + english(number % 100) if number % 100 else "")
    small = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    words = (small + " seventeen eighteen nineteen").split()
    tens = "twenty thirty forty fifty sixty seventy eighty ninety".split()
    if number < 20:
        return words[number]
    return tens[number // 10 - 2] + ("-" + words[number % 10] if number % 10 else "")


def chinese(number: int) -> str:
    """Return a number below a hundred million in Chinese, with 零 for each gap."""
    if number >= 10_000:
        rest = number % 10_000
        gap = "零" if 0 < rest < 1000 else ""
        return chinese(number // 10_000) + "万" + (gap + chinese(rest) if rest else "")
    text, pending = "", False
    for unit, sign in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = number // unit % 10
        if digit:
            text += ("零" if pending and text else "") + "零一二三四五六七八九"[digit] + sign
        pending = not digit
    return text or "零"


@given(st.integers(0, 999_999))
def test_english_words_are_read_whole(number) -> None:
    assert stated(english(number)) == stated(f"There are {english(number)} cubes.") == str(number)


@given(st.integers(0, 99_999_999))
def test_chinese_numerals_are_read_whole(number) -> None:
    assert chinese_number(chinese(number)) == number


@given(st.integers(-(10**12), 10**12), st.sampled_from([",", " ", "'", "_", "{,}", "\u202f"]))
def test_groups_of_three_are_one_number(number, separator) -> None:
    assert stated(f"{number:,}".replace(",", separator)) == str(number)


@given(st.decimals(-(10**9), 10**9, places=3))
def test_decimals_are_exact(number) -> None:
    assert stated(str(number)) == stated(f"It is {number} cm.") == str(Fraction(number))


@pytest.mark.parametrize(
    ("text", "value"),
    [("1,234", 1234), ("0,125", Fraction(1, 8)), ("1.2.3", None), ("1,2,3", None), ("12,345,67", None),
     ("9" * 41, None), ("1e401", None), ("1.234,5", Fraction(2469, 2)), ("1,234.567,8", None)],
)  # fmt: skip
def test_separators(text, value) -> None:
    assert digits_value(text) == value


def test_partial_credit_of_words_and_of_a_zero_in_words() -> None:
    assert verify_digit("eight", 10, partial_credit=True).value == pytest.approx(0.8)
    assert verify_digit("none", 1, partial_credit=True).value == 0.0
    assert verify_digit("1/3", "2/3", partial_credit=True).value == pytest.approx(2 / 3)


PUMPED = [
    *"0123456789.,'_ -+*/^%()[]{}\\:;~$xeak\n<>=三负个无—½²",
    *("1,", "1 ", "1 000 ", "1/", "-1 ", "1-", "1e9", "1×10^", r"\frac{", r"\frac{1}{", "{1", "twenty-", "hundred "),
    *("a half ", "three point ", "1万", "百分之", "1 or ", "2 and 3 or ", "not 1 ", "(1", "<sup>", r"\text{", "1**"),
    *("1 of the ", "so 1 ", "total 1 2 ", "answer 1 2 ", "= 1", "\n1. ", "3 feet ", "3点", "January 1, ", "1 below "),
    *("x^{-", "√{", "\ud800", "三四"),
]  # fmt: skip


@pytest.mark.parametrize("piece", PUMPED)
def test_no_text_takes_long(piece) -> None:
    for length in (19_999, 1_000_000):
        text = (piece * (length // len(piece) + 1))[:length]
        start = time.process_time()
        verify_digit(text, 3)
        verify_number("3", text)
        assert time.process_time() - start < 3  # two readings on a machine that may be busy; alone each takes 0.05 s


def test_many_random_pieces_are_quick() -> None:
    rng = random.Random(0)
    text = "".join(rng.choice(PUMPED) for _ in range(8_000))[:19_999]
    start = time.process_time()
    assert verify_digit(text, 3).value == 0.0 and time.process_time() - start < 3


def test_a_quantity_has_its_place() -> None:
    (quantity,) = read_quantities(tokens_of("= - 3½ %"))
    assert (quantity.value, quantity.percent, quantity.first, quantity.end) == (Fraction(-7, 2), True, 1, 7)
    assert isinstance(only_quantity("2 cats, 3 dogs"), str)
