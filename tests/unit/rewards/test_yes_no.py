"""Yes and no, as people and models say it. The verdicts are made by hand."""

import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlaa_ray.rewards.verifiers.yes_no import read_yes_no, verify_yes_no

YES = (
    r"""
Yes, it is true that no dog is there|Yes, that's not wrong|That is correct.|Yes, it's not false
Answer: yes, there is no doubt|嗯|存在|The answer is 'Yes'|It isn't false|yes sir|Yes, of course.
yeah, it is|对的|是的。|有的|Ya|It seems correct|It is indeed true|Yes, it's a dog, not a cat
Yes! No other animal is there.|Yes (there is no cat)|(Yes)|The dog is not black, so yes
True: no dog is there|Yes.|yeah|Yep!|yup|true|correct|right|That is right.|That's correct|It is true
not incorrect|not wrong|It isn't wrong|not untrue|Yes, because there is no car.|Yes, there is no dog.
There is no doubt: yes|There is no doubt: yes.|The answer is yes|Answer: Yes|Correct answer: Yes|是
是的|对|對|正確|是的，因为图中没有车|对，没有狗|没错|答案：是
答案是：是的|答案是肯定的|Yes, it is not black.|Yes it is|It is.|There is.|It does|Of course
Of course!|Definitely|Absolutely|Indeed|Sure|\boxed{Yes}|\boxed{\text{Yes}}|The statement is true.
The statement is correct because no dog is visible.|There is no dog, so the statement is correct.
The statement "there is no dog" is true.|The statement that there is no dog is correct.|I think so
I think yes|Probably yes|So yes|Y|True, it is.|Yes, the statement is not wrong|Wait, no. Actually, yes.
没有错|是，图中有一只狗|有|这是正确的|那是对的|Without a doubt|No doubt about it
Is it red? Yes.|Yes - there is no other car|Yes; nothing is wrong.|The answer is "yes".|Ｙｅｓ
Affirmative|Yes, I do not see any dog|Correct.|Correct, there is no dog|It can't be wrong|That's true
Looking at the image, yes, there is a dog.|The answer is not no
""".strip()
    .replace("\n", "|")
    .split("|")
)
NO = (
    r"""
The statement is incorrect|No, that is true only for cats|No, the opposite is true
No. That would be true for cats.|not accurate|It doesn't seem correct|I wouldn't say that's true
It is no longer true|Neither is correct|That's not quite right.|I don't think that's right|不是的
不对的|并不是|不属实|错的|不存在|没有的|naw|nope, there's no dog|by no means
not entirely true|It is not so|The answer is 'No'|No (it is a cat)|(No)|No dogs are in the picture
No dog is visible, so no|It is not the same|No sir|They are not identical.
The car is not red, so the answer is no|This is a false statement|It's not a dog, it's a cat|Never|hardly
不，没有|没有，但是有猫|No.|Nah|false|incorrect|wrong|That is wrong|That's incorrect
It is not true|not correct|It's not right|No, there is no dog|There is no dog.|There isn't any dog
It is not.|It isn't|The answer is no|Answer: No|否|不是|不对|不對|不正确|没有|沒有|错误
错|不|不是，这是一只猫|图中没有狗|没有，图中是猫|答案是否|答案是否定的
答案：否|No, because it is correct elsewhere|Definitely not|Absolutely not|Of course not
Certainly not|Not at all|\boxed{No}|\boxed{\text{No}}|**No**|The statement is false.|It's false
The statement is not true because there is a dog.|I don't think so|I do not think it is correct
I think no|N|No, it's not wrong to say there's none|Is it red? No.|Yes? No. Actually, no.
这是不正确的|这不是狗|这不对|这是错误的|No way|It cannot be true|It does not
They aren't|No one is there|None of this is correct|The answer is "no".|Not true
False. It is correct that there are two.|No - there is a cat|不可能|无|没|不可以|不会
Incorrect, the car is right of the tree|No, not really|Negative|No, the dog is on the right.
It is not the case.|The answer is not yes
""".strip()
    .replace("\n", "|")
    .split("|")
)
NEITHER = (
    r"""
No answer can be given|not applicable|Not given|N/A|I cannot see the image|I can't view the image
Nobody knows|I'm unable to answer|It can't be known|I do not know for sure|I'm not really sure
We do not know.|Not enough data|无法回答|不好说|There isn't enough evidence to say yes
It's uncertain|I don't have enough information to answer|The answer is unknown
The answer cannot be determined|Yes or no cannot be determined|Maybe yes, maybe no
It's impossible to tell from the image.|I don't know|It cannot be determined.|can't be determined
not enough information|maybe|perhaps|unknown|unclear|It is unclear|I'm not sure|I am unsure|I can't tell
cannot tell|impossible to say|hard to tell|no idea|I have no idea|不知道|不确定|无法确定
无法判断|不清楚|可能|也许|yes or no|Yes and no|yes/no|No or yes|nothing|It depends
I'm not certain|I cannot say|It's not clear|The image does not provide enough information
insufficient information|I do not know whether it is true|I don't know if it is correct
It is impossible to determine if the answer is true|There is no way to tell|我不知道|信息不足
无法判断是否正确|看不清|不太清楚|cat|on the right side|The dog is on the right|Not known
I could not determine it|We can not know|We cannot determine this from the image|No information is given
There's no way to know|It isn't possible to determine|Not possible to tell|I am not able to tell
not determinable|Unable to determine|不能确定|难以判断|说不准|It is not specified
It can not be determined|It's not possible to say
""".strip()
    .replace("\n", "|")
    .split("|")
)
YES.append("Yes\nThere is no cat.")
NO.append("No\nIt is correct that there is a cat.")
NEITHER.append("")


@pytest.mark.parametrize("text", YES)
def test_yes(text: str) -> None:
    assert read_yes_no(text) is True


@pytest.mark.parametrize("text", NO)
def test_no(text: str) -> None:
    assert read_yes_no(text) is False


@pytest.mark.parametrize("text", NEITHER)
def test_who_says_neither_or_both_or_does_not_know(text: str) -> None:
    assert read_yes_no(text) is None


@pytest.mark.parametrize(
    ("answer", "gold", "value"),
    [
        ("Yes, there is.", "yes", 1),
        ("No", False, 1),
        ("true", "Yes", 1),
        ("It is not.", "no", 1),
        ("yes or no", "no", 0),
        ("maybe", "no", 0),
        ("nothing", "no", 0),
        ("YES", "no", 0),
        ("没有", "否", 1),
        ("否", "是", 0),
        ("n", "No, there is no cat.", 1),
        ("Yes", True, 1),
    ],
)
def test_verdicts(answer: str, gold: object, value: float) -> None:
    assert verify_yes_no(answer, gold).value == value


@pytest.mark.parametrize("gold", ["perhaps", "", None, 1, [], "不知道", "(" * 2000, "9" * 5000, "\ud800"])
def test_a_gold_that_says_neither_is_invalid(gold: object) -> None:
    assert not verify_yes_no("yes", gold).valid


@given(st.sampled_from(YES + NO))
def test_a_gold_is_worth_one_as_its_own_answer(gold: str) -> None:
    assert verify_yes_no(gold, gold).value == 1.0


@given(st.text(alphabet=string.printable + "是不没有否对错，。“”\ud800\\boxed{}", max_size=60))
def test_no_text_makes_the_reader_raise(text: str) -> None:
    assert read_yes_no(text) in (True, False, None)


PUMPED = [*"aN.:;,()[]{}<>\"'*$`_-/\\ \n=是不否，。“「’ﷺ"]
PUMPED += [
    "yes or ",
    "no ",
    "not ",
    "n't ",
    "not be ",
    "think so ",
    "答案",
    "\\boxed{",
    "\\boxed{\\boxed{no} ",
    "“a",
    '"a b',
]


@pytest.mark.parametrize("unit", PUMPED)
def test_a_megabyte_is_read_at_once(unit: str) -> None:
    text = (unit * (1_000_000 // len(unit) + 1))[:1_000_000]
    start = time.process_time()
    verify_yes_no(text, "yes")
    verify_yes_no("yes", text)
    assert time.process_time() - start < 2  # two texts, a second each
