"""Option letters: many more ways in which people and models choose one, deny one, or name several."""

import pytest

from vlaa_ray.rewards.verifiers.choice import read_letter

# The texts that choose each letter, or none ("-"), with " | " between them. The verdicts are made by hand.
CASES = {
    "-": r"""
It cannot be B | B cannot be the answer | B can't be right | I don't believe B is correct
I do not believe it is B. | I don't think B is right | It doesn't look like B | It is not likely to be B
B is unlikely | B is not possible | B isn't an option | not B or C | not B, not C | Not (B) | not **B**
**Not B** | Not B! | The answer is NOT B | The correct option isn't B | Answer isn't B | Answer: neither A nor B
Definitely not B. | Surely not B. | No way it is B | The answer is never B | Answer: B is wrong
答案不可能是B | 答案并不是B | 答案应该不是B | 不是B | 不是Ｂ | 不是（B）
选项B错误 | 选项B不对 | B不符合题意 | 除了B以外 | 不可以选B | 答案：B、C
答案：B或C | A或B或C | A和B | A/B/C | 全选 | 以上都对 | 以上都不对 | ＡＢ | Ａ、Ｂ
Ａ或Ｂ | \boxed{\text{B and C}} | \boxed{A, B} | \boxed{\text{A or B}} | \boxed{x^2 + A} | \boxed{AB}
\boxed{not B} | I'd eliminate B | B must be wrong | B doesn't work | not option A
The answer is certainly not A | Not A. Not B. | non B | This isn't B | This is not option (B). | B is false
(B) is wrong | A man is walking. | A man. | I see a dog | I see A dog | An apple | B and C | B or C | B, C
(B) or (C) | (B), (C) | B & C | B+C | BC | either B or C | maybe B, maybe C | B or possibly C
It could be B or C | It's B or C | The answer could be A, B or C | The answer is A and B
The answers are A and B | Answers: A, B | Options A and B | both (A) and (B) are correct
A and C are both correct | All of A, B, C | A, B, C, D are all possible | 1. A 2. B | A) 1, B) 2, C) 3 | a, b
A 和 B | A或B | A、B | A和B都对 | 答案是A或B | opt. c | 不选B | 不能选B | 不应该选B
不可能是B | B是错误的 | B错 | B不是正确答案 | 并非B | 而非B | 除了B | \boxed{}
The answer is not A or B. | Answer: not A | It's not B. | That rules out B | Option B is not correct
B is not the answer | The answer must not be B | The answer could not be B. | It is definitely not option C
A few people | A lot | A good idea | A pair of shoes | I am | I do | I have no idea | I don't know
I cannot determine it | d dog | Answer: dog | The answer is the dog | The answer is 12 | C/D | C & D | C and D
Either C or D, I'm not sure | Both | All | Neither | A and B both | A and B are both possible | C, D and E
C, or D | C or D? | Options C and D are wrong | (A) and (B) | (A)(B) | (A) (B) (C) (D) | A;B
all of the above: A, B and C | None of A, B or C | Answer: All of the above | A) or B) | (A) or (B)?
Could be A, could be B | I think A or B | One of A and B | A and/or B | A,B | A&B | Answer: (A), (B)
Answer: A and B | Answer: AB | Answer: all of the above | The answer is A or B or C or D | Option C or D
选C或D
""",
    "A": r"""
Ａ　猫 | B can be eliminated. So A. | Neither B nor C is right; A is | A. True | A. The dog isn't there
A is a cat | A shows a dog | A looks right | A or a dog | A, a dog | A - a dog | A) A dog | Choose A
I choose A | I pick A because a dog is there | Option A: a dog | As shown, A | A 3-sided shape
Either A or B; I pick A | A or B. My final answer is A | A.  A book | A) book | A, the book | A (the book)
A; the book | A is right | A must be the answer | A would be correct | A since it is long | A as it is long
A because of the book | It is A | It's A. | So A | So A. | So the answer is A | A small one is A
It's a book, A | Answer is A, a book | The answer is A, because a book is there | The answer is A since it fits
The answer is A and it fits | The answer is A as shown | A? | A or B? A. | A/B, but A | A. B
""",
    "B": r"""
The answer is not (A) but (B) | The answer is B and not C | B and not A | It must be B since it cannot be A.
Not A. B | Not A; B | (A) is wrong, (B) is right | Option (A) is incorrect and option (B) is correct.
A and C are wrong, B is right | A, C are wrong; B | The options A and C are wrong. The answer is B
Both A and C are wrong, B is correct | A不符合题意，B符合题意 | B，而不是A | B而不是A
B，A错 | B，因为A太小 | B、因为A不对 | B：因为A不对 | B（因为A不对） | B.因为A不对
因为A不对，所以B | 由于A错误，B正确 | A太大，选B | 答案：B，因为A不对 | 選擇B
我選B | 我會選B | 我会选择B选项 | 我觉得是B | 应该是B | 应为B | 是B | B吧 | B选项
选项是B | 选项为B | 正确选项：B | 正确选项B | 所选答案：B | 答案B | 答案 B | 答:B
答：B | 答案为：B | 答案是：B | 答案是（B） | 答案是 (B) 猫 | 答案是B. 猫
答案是B，猫 | 最终答案：B | 最终答案是B | 【答案】B | 【答案】：B | 「B」 | 《B》
“B” | ‘B’ | Ｂ 猫 | Ｂ。 | Ｂ，猫 | 答案：ｂ | 选ｂ | 选b | 选 (b) | b、猫 | b。
b，因为 | ｂ．猫 | ⓑ | Ⓑ | 🄑 | 𝐁 | \mathbf{B} | $\mathbf{B}$ | $\text{B}$ | \text{B}
\textbf{(B)} | \textbf{Answer: B} | \(B\) | \[B\] | $$B$$ | $(B)$ | \boxed{\mathbf{B}} | \boxed{\text{B}.}
\boxed{B.} | \boxed{(B) 5} | \boxed{B) 5} | \boxed{\text{B. } 5 \text{ cm}} | \boxed{\text{B: cat}}
\boxed{B \text{ (cat)}} | \boxed{x^2}, therefore B | \boxed{5}. The correct option is B. | \boxed{5} (B)
\boxed{5} → B | (B) \boxed{5} | B: \boxed{5} | B. \boxed{5} | Option B: \boxed{5} | Answer: B. \boxed{5}
The answer is B: \boxed{5} | The answer is \boxed{5}, B | The answer is \boxed{\frac{A}{2}}, option B
The best answer is therefore B) cat | I'd say (B). | Looks like B | B! | B? | Answer:B | Answer：B | ANSWER:B.
answer:b | (Answer: B) | Answer (B) | The answer to this question is B
Among the options A, B, C and D, B is the best | Option B is correct because option A is wrong
B is right, A is wrong | It's B (not A) | Since A is wrong, B | Because A is wrong, B is the answer
If A is wrong then B | B has no wheels | A seems right but the answer is B
I would not choose A, I would choose B | I wouldn't pick A. B fits. | The answer is neither A nor C, but B
B: wrong | B. False | B. No | B. None of the above | A woman with B on her shirt | A blue circle (option B)
A blue circle (B) | A circle, B | As for A, it is wrong; B | Not sure between A and B, going with B
A and B look similar, but the answer is B | Answer: A. Correction: B | Answer: A? No, Answer: B
B. Triangle ABC is similar to triangle DEF | B. AB = CD | B，理由是A太小 | B，不选A | B（A不对）
B. I | B: I and II | (b) both A and C | b. point A | \boxed{A}\boxed{B} | D, E, F are on a line, so B
Triangle ABC has angle C, so the answer is B | Point A is closer, so B | Line AB is parallel to CD; answer B
A, B or C - final: B | The correct option is A. The correct option is B. | B. A | B) A | (B) A | B – A
B. Plan A | B. U.S.A. | B: I am here | B because I see C | B – since A, C and D are not red | B as A isn't red
B (A and C are also red) | B. A is red, C is blue | B is the answer because A and C are blue
The answer is B: A is blue | The answer is B; A is blue, C is green | The answer is B. A is blue. C is green.
The answer is B, since A is blue, C is green | B. Answer: the sum of A and C | B. The answer is in C
""",
    "C": r"""
I don't think that B is the answer. C is. | Not B, C | Answer: neither A nor B; it's C | Certainly not B, but C
Answer: B is wrong, C is right | A is wrong, B is wrong, so C | A is wrong, C is right | not A but rather C
not A, rather C | not A; instead C | C rather than A or B | C rather than A and B. | C as opposed to A
C over A | C, and not A | C (rather than A) | C - not A | C — not A | C; A is incorrect | C. A is incorrect.
C. Not A. | C! Not A. | It's C, A is wrong | The answer is C, A is wrong | The answer is C; A and B are wrong.
The answer is C because A and B are wrong | The answer is C and A is wrong | The answer is C, while A is wrong
The answer is C, whereas A is too big | The answer is C, unlike A | The answer is C (A is wrong)
The answer is C, as A is too small | The answer is C, since it can't be A | C is correct and A is not
C is correct, A isn't | C is right, not A | C is right but A is not | A is not, C is | A is not right; C is
A isn't it, C is it | A won't work, C will | A doesn't work but C does | A would be wrong; C
A might be tempting but C | I considered A, but chose C | I considered A and B, but C is correct
At first A, then C | 正确答案不是B，是C | B选项错误，C选项正确 | B错，C对
B是错的，C是对的 | A、B都不对，选C | A和B都错，C正确 | 应选C，不选B | 应选C不选B
选C，不是B | 答案是C，B不对 | 答案是C，不是B | C，B不对 | C。B错误
\boxed{\angle A = 30^\circ} so (C) | C, since \boxed{A = B} | \boxed{\text{not B}} C
Out of A, B, C and D, the answer is C | A and B are wrong but C is right | A isn't right, and neither is B. C.
C, as A and B are incorrect | B seems wrong, it's C | B does not match, C does
It is not A; it is not B; it is C | Not (A), but (C) | The answer is not option A but option C
The correct answer is not A; it's C. | A? No. B? No. C! | A is out, B is out, C it is | C) Neither A nor B
(C) Neither A nor B is right | C: not A | First I thought A. Then I thought B. Final answer: C | I'll go with C
C. 3 A | C. Group A has more than group B | C: A and B are equal | The answer is C: A and B
The answer is C (A and B are equal) | Answer: C. A and B | Answer: C) A and B
The answer is C. A and B are distractors. | C because D | c: 4 | **C) dog** | **C**: dog | *c* | "c." | `c`
c, because | choose c | I'd go with c | Answer: (c) dog | answer is: c | The correct answer is c) dog
The correct choice is (c), a dog. | option c. | option "c" | choice (c) | Option C | C is correct.
(c) is correct | c) is correct | Ｃ． | Ｃ：猫 | Ｃ） | （ｃ）猫 | 答案为Ｃ | 选择C
选择：C | 選 C | 選C | 答案選C | 選項C | 我認為是C | 正确选项是C。 | 综上，选C
故答案为C | 故答案选：C | 本题选C | 本题答案为（C） | C项正确 | 选C。因为A、B不对
A太小，B太大，选C | 排除A、B，选C | 不是A也不是B，是C | 是C不是A | C而非A
选C，而不是A | A book and a pen are on the table, so the answer is C
A book is on the table. The answer: C | A man rides a horse (C). | f(B) = 3, so the answer is C
P(A) = 0.5, hence C | A = 3, B = 4, answer: C | Since A = 12, C | H2O, so the answer is C | The U.S. flag, C
Ans: C | Ans. C | ans: c | Anwser: C | Option: C | Options: C | C, definitely | C or not | C, but D is possible
C or D. C | C. B. C. | C: Carbon (C) | C. The letter D
""",
    "D": r"""
A is false, D is true | D. 以上都对 | D（以上都对） | D、以上都不对 | 以上都对，选D
以上都对（D） | Ｄ：以上 | \boxed{\triangle ABC}, D | \boxed{F = ma}, (D)
It is not A, B, or C, it's D | not A, B or C. D | A is definitely not the answer; the answer is D
D. Cannot be determined | A boy is sitting; the answer is D | D. Both A and C | D - both A and C
D (both A and C) | D – A and B | D；因为A和B都不对 | D。A和B都错误 | d) none
\boxed{42}, option D | D \boxed{42} | (D) $\boxed{42}$
The answer is $\boxed{42}$ which corresponds to option D. | The value is \boxed{\frac{1}{2}}. Answer: D
\boxed{\text{D. } 42} | \boxed{D) 42} | \boxed{(D)~42} | \boxed{\textbf{(D)}\ 42} | \boxed{\textbf{D}}
\boxed{D}. Note that A is wrong | \boxed{C = 5}, so D | Answer: D. \boxed{A \times B} | \boxed{\text{Answer: D}}
\boxed{\text{the answer is D}} | \boxed{d} | \boxed{} D | \boxed{5\text{ A}}, so the answer is D | \boxed{ D }
\boxed{5 N}, D | \boxed{D | Option B is wrong. Option D is right. | The answer isn't B but D | Not B but D.
B is not right. It should be D. | I'd say D rather than B | D, not B | D and not B | D instead of B
D, unlike B, fits | I ruled out A, B and C, leaving D | By elimination, D | All options except D are wrong
Only D is correct | The only correct option is D | None but D | It should be D, definitely not B
Though B seems plausible, the answer is D. | B may look right, but D is correct | B might be right, but it's D
The incorrect answer is B, the correct answer is D | I don't agree with B; D | No. D | Answer: "D" not "B"
Is it B? No, it's D. | Not sure, but D | I am not sure, but I think D | I'm not certain but it's probably D.
It is not clear, maybe D | It does not matter; the answer is D | D does not move | D is not moving
D cannot be seen in the image | D is no square | D never moves | There are no dogs, so D
The picture doesn't show a cat, so the answer is D. | Since it isn't red, D | It is not red. D.
It isn't a triangle: D | The cat is not on the mat (D) | Not enough information (D) | (D) Not enough information
D. Not given | D: It is not possible | I'd choose D | I'm going with D | I'll say D
I would say that D is right | I chose option D | I have chosen D | In my opinion D | My answer: D
My choice is D | My final answer is option D. | My guess is D | Hence, option D is the correct answer.
Hence (D). | Therefore D is correct | Thus the correct option is D. | Therefore the answer is $D$.
The answer is ($D$) | The correct option is: **D** | **Answer:** D | **Answer**: D | **Final Answer: D**
### Answer: D | Answer:(D) | Answer:(D)dog | Answer: [D] | Answer: 'D' | Answer: {D} | Answer: <D> | answer = D
"answer": "D" | {'answer': 'D'} | {"choice": "D"} | [[D]] | <<D>> | ((D)) | D, | D; | D- | -D | - D | * D
• D | > D | 1. D | D.dog | D)dog | (D)dog | D:dog | D dog | d)dog | d.dog | (d)dog | d | D (dog) | dog (D)
dog, D | dog - D | dog: D | dog D | the dog (d) | dog (option d) | The dog. Option D | A dog, D | A dog. D
A dog: D | Both are dogs, D | Answer: the dog (D) | The answer is 12 (D) | The answer is D, 12
The answer is D) 12 | The answer is D: 12 | The answer is D. 12 | The answer is option D: 12
The answer is "D. 12" | The answer is "D" | The answer to the question is: D | The right answer is D
The correct one is D | Correct: D | Correct option: D | Solution: D | Choice D | Choice: D | Choice (D)
Letter D | The letter D | Pick D | Select D | D is my answer | D is the answer | D is it | D would be right
D fits | D matches the picture | D seems right | D, I think | D I think | D maybe | Maybe D | Probably D
Possibly D | Most likely D | likely (D) | It looks like D | It seems to be D | Between C and D, I prefer D
C and D are close, but D is correct | C and D both fit; the best is D | None of the above, so D
D, that is, all of the above | D. A, B and C | D. Both (A) and (B) | (D) All of (A), (B), (C) | D: A & B
""",
    "E": r"""
None of these (E) | E. None of these | All of the above, E | E, all of the above
""",
    "P": r"""
\boxed{P}, D
""",
}
TEXTS = [(text, letter) for letter, texts in CASES.items() for text in texts.strip().replace("\n", " | ").split(" | ")]


@pytest.mark.parametrize(("text", "letter"), TEXTS)
def test_letters(text: str, letter: str) -> None:
    assert read_letter(text) == (None if letter == "-" else letter)
