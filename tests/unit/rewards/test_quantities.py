"""Quantities as people write them: each verdict is an annotator's."""

import pytest

from vlaa_ray.rewards.verifiers.stated_quantity import stated_quantity


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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        row
        for table in (SIGNS, GROUPS, DECIMALS, FRACTIONS, UNITS, WORDS, SCALES, NEIGHBOURS, SEVERAL, ZERO)
        for row in cases(table)
    ],
)
def test_the_number_that_a_text_states(text, value) -> None:
    assert stated(text) == value
