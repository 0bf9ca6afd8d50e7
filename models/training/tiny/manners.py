"""Small talk, and honest refusals of what the model cannot do. No thought, no calculation."""

from random import Random

HELLO = ["hello", "hi", "hey", "hi there", "good morning", "good evening", "good afternoon", "hello there", "hey there",
         "greetings", "hello, how are you", "hi, how are you", "how are you", "how are you doing", "how is it going",
         "hello again", "howdy", "nice to meet you", "good day", "hi friend", "hey, what's up", "what's up", "yo",
         "hello r1", "hi model", "is anyone there", "are you there", "hello world", "good to see you", "how do you do"]
HELLO_REPLY = ["Hello! Give me a small calculation or a number puzzle.", "Hello! I can solve small math problems.",
               "Hi! Ask me a small math problem.", "Hello! What shall I calculate?"]
BYE = ["bye", "goodbye", "see you", "see you later", "good night", "bye bye", "that is all", "I have to go",
       "have a nice day", "farewell", "talk to you later", "until tomorrow", "take care"]
BYE_REPLY = ["Goodbye!", "Goodbye! Have a good day.", "See you!"]
THANKS = ["thanks", "thank you", "thank you very much", "thanks a lot", "great, thanks", "well done", "good job", "nice",
          "that was helpful", "cool", "perfect, thank you", "you are great", "awesome", "good answer", "many thanks"]
THANKS_REPLY = ["You are welcome!", "You are welcome! Ask me another one."]
WHO = ["who are you", "what are you", "what is your name", "what can you do", "what do you know", "can you help me",
       "help", "tell me about yourself", "introduce yourself", "are you a human", "are you an AI", "who made you",
       "how do you work", "what model are you", "what kind of questions can I ask", "are you a robot", "are you smart",
       "how old are you", "are you ChatGPT", "do you have feelings", "what are you good at", "I need help"]
WHO_REPLY = ["I am a very small model that solves small math problems.",
             "I am a small model. I can do arithmetic, equations, factors and countdown puzzles.",
             "I am a tiny reasoning model. I only know small math problems."]
REFUSAL = ["Sorry, I cannot help with that. I only solve small math problems.",
           "I do not know. I am a small model that only does small math problems.",
           "I cannot answer that. I only know arithmetic, equations, factors and short puzzles.",
           "Sorry, that is outside of what I can do. I only solve small math problems."]

ASK = ["Why is {0} {2}?", "What is {0}?", "Who invented {0}?", "Tell me about {0}.", "Tell me a story about {0}.",
       "Write a poem about {0}.", "Write a song about {0} and {1}.", "How do I make {0}?", "Where can I find {0}?",
       "What is the capital of {3}?", "Who is the president of {3}?", "What is the population of {3}?",
       "What language do people speak in {3}?", "Translate {0} into {4}.", "How do you say {0} in {4}?",
       "What is the meaning of {0}?", "Define {0}.", "Explain {0} to me.", "Explain how {0} works.",
       "What is the difference between {0} and {1}?", "Which is better, {0} or {1}?", "Do you like {0}?",
       "What color is {0}?", "Is {0} {2}?", "Summarize the history of {0}.", "Give me a recipe for {0}.",
       "Write a letter to my {5}.", "What should I give my {5} for a birthday?", "My {5} is {2}. What should I do?",
       "Tell me a joke.", "Tell me a joke about {0}.", "Sing a song.", "What is the weather today?", "What time is it?",
       "What day is today?", "Write a program that sorts {0}.", "Write a Python function for {0}.", "Fix my code.",
       "Who wrote the book about {0}?", "When was {0} invented?", "When did {3} become a country?",
       "In which year did the war in {3} end?", "How far is {3} from here?", "Recommend a movie about {0}.",
       "What do {0} eat?", "How long do {0} live?", "Can {0} fly?", "Do {0} sleep?", "What is the best {0}?",
       "I feel {2} today.", "I am {2}.", "I like {0}.", "I do not understand {0}.", "What is love?",
       "What is the meaning of life?", "Who was the first person on the moon?", "Is there life on Mars?",
       "Play a game with me.", "Draw a picture of {0}.", "Open the door.", "Turn on the light.", "Book a flight to {3}.",
       "What do you think about {0}?", "Should I buy {0}?", "How can I learn {4}?", "Is {3} a big country?",
       "Give me advice about {0}.", "Write an essay about {0} in {3}.", "What is your favorite {0}?", "Describe {0}.",
       "List three kinds of {0}.", "Name a famous {5}.", "How much does {0} cost?", "How heavy is {0}?",
       "Who won the game yesterday?", "What happened in {6}?", "Who was born in {6}?", "What is 100 euros in dollars?",
       "What is the square root of {7}?", "What is {7} percent of {8}?", "What is the sine of {7}?",
       "Integrate x squared.", "What is the derivative of x squared?", "Prove that there are infinitely many primes.",
       "What is the logarithm of {7}?", "Draw a triangle with sides {7} and {8}.", "How many people live in {3}?",
       "What is pi?", "What is the area of a circle with radius {7}?", "Convert {7} miles to km.",
       "What is {7} degrees in Fahrenheit?", "How many {0} are there in {3}?", "Guess my number.", "Are you sure?",
       "What did I say before?", "Repeat after me: {0}.", "Spell {0}.", "What rhymes with {0}?", "asdf", "{0}", "{0} {1}"]
NOUNS = """the sky|the sea|the sun|the moon|gravity|water|fire|snow|rain|wind|time|money|music|art|history|bread|coffee|tea|
cheese|chocolate|pizza|soup|cats|dogs|birds|horses|whales|bees|trees|flowers|mountains|rivers|cars|trains|planes|ships|
computers|phones|robots|the internet|electricity|light|sound|a rainbow|a volcano|an atom|a star|a black hole|dinosaurs|
the brain|the heart|sleep|dreams|happiness|freedom|justice|democracy|peace|war|science|chemistry|physics|biology|
philosophy|religion|football|tennis|chess|dancing|painting|poetry|theater|films|books|newspapers|school|work|holidays|
winter|summer|spring|autumn|night|morning|gold|silver|iron|plastic|glass|paper|wood|stone|oil|gas|energy|a battery|
an engine|a bicycle|a house|a garden|a kitchen|a bridge|a castle|a city|a village|an island|a desert|a forest|a lake|
quantum mechanics|relativity|evolution|photosynthesis|climate change|inflation|the stock market|taxes|insurance|
a mortgage|a virus|bacteria|vaccines|medicine|cancer|a headache|exercise|yoga|cooking|baking|fishing|camping|
machine learning|neural networks|programming|databases|cryptography|blockchain|the alphabet|grammar|verbs""".replace("\n", "").split("|")
ADJECTIVES = "blue green red big small old new happy sad tired hungry angry cold hot important dangerous good bad sick lonely".split()
COUNTRIES = """France Germany Spain Italy Japan China India Brazil Canada Mexico Egypt Kenya Norway Sweden Poland Greece
Turkey Russia Australia Peru Chile Cuba Iran Iraq Korea Vietnam Portugal Ireland Scotland Austria""".split()
LANGUAGES = "French German Spanish Italian Japanese Chinese Russian Arabic Latin Greek Dutch Polish".split()
PEOPLE = "mother father brother sister friend boss teacher doctor neighbor dog cat son daughter uncle singer painter".split()
SYLLABLES = "ba be bi bo ka ke ki ko la le li lo ma me mi mo na ne ni no ra re ri ro sa se si so ta te ti to fan der ing".split()

KINDS = {"hello": HELLO_REPLY, "bye": BYE_REPLY, "thanks": THANKS_REPLY, "who": WHO_REPLY, "refusal": REFUSAL}


def talk(r: Random) -> tuple[str, str, str]:
    """(kind, prompt, reply)."""
    kind = r.choices(list(KINDS), [4, 1, 2, 3, 14])[0]
    if kind == "refusal":
        noun = lambda: _word(r) if r.random() < 0.15 else r.choice(NOUNS)  # noqa: E731
        prompt = r.choice(ASK).format(noun(), noun(), r.choice(ADJECTIVES), r.choice(COUNTRIES), r.choice(LANGUAGES),
                                      r.choice(PEOPLE), r.randint(1200, 2030), r.randint(2, 200), r.randint(2, 999))
        if r.random() < 0.2:
            prompt = r.choice(["Please ", "Can you help me? ", "I have a question. ", "Hey, "]) + _lower(prompt)
        if r.random() < 0.15:
            prompt = _lower(prompt).rstrip(".?")
    else:
        prompt = r.choice({"hello": HELLO, "bye": BYE, "thanks": THANKS, "who": WHO}[kind])
        if r.random() < 0.6:
            prompt = prompt[0].upper() + prompt[1:]
        asks = kind == "who" or prompt.lower().startswith(("how", "are", "is", "what"))
        prompt += r.choice(["", "", "?" if asks else "!", "?" if asks else "."])
    return kind, prompt, r.choice(KINDS[kind])


def _word(r: Random) -> str:
    return "".join(r.choice(SYLLABLES) for _ in range(r.randint(1, 4)))


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]
