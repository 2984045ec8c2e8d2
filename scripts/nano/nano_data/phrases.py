"""How questions are asked and answers said, in English, French and Spanish.

Many phrasings a task, because a stranger will not use ours; one answer phrase a task and language,
because what is always said in the same way is never said wrongly.
"""

# fmt: off
# One phrase a line would be three pages of it.
LANGUAGES = ("en", "fr", "es")

# Operations: {e} is the expression, written with one of SIGNS or WORDS.
SIGNS = {"+": ["+"], "-": ["-", "-", "-", "−"], "*": ["*", "x", "×", "×"]}
WORDS = {
    "en": {"+": ["plus", "and"], "-": ["minus"], "*": ["times", "multiplied by"]},
    "fr": {"+": ["plus", "et"], "-": ["moins"], "*": ["fois", "multiplié par"]},
    "es": {"+": ["más", "y"], "-": ["menos"], "*": ["por", "multiplicado por"]},
}
EXPRESSION = {
    "en": [
        "What is {e}?", "What is {e}?", "What is {e}?", "What is {e}?", "What is {e}?", "what is {e}",
        "What's {e}?", "{e}", "{e}", "{e}=", "{e} = ?", "Calculate {e}.", "Calculate {e}", "calculate {e}",
        "Compute {e}.", "Compute {e}", "How much is {e}?", "how much is {e}", "Can you calculate {e}?",
        "Can you tell me what {e} is?", "Please compute {e}.", "Tell me {e}.", "What does {e} equal?",
        "What do you get for {e}?", "Work out {e}.", "Solve {e}", "Solve: {e}", "Find {e}.", "Evaluate {e}.",
        "What is the result of {e}?", "What is the value of {e}?", "Hi, what is {e}?", "I need {e}.",
        "Hello! How much is {e}?", "Could you work out {e} for me?", "What is {e} please?", "Give me {e}.",
        "{e}?", "what's {e}?", "{e} equals?", "Hey, what is {e}?", "I have a question: what is {e}?",
        "How many is {e}?",
    ],
    "fr": [
        "Combien font {e} ?", "Combien font {e} ?", "Combien font {e}?", "combien font {e}",
        "Combien fait {e} ?", "Combien fait {e}?", "Calcule {e}.", "Calcule {e}", "Calculez {e}.",
        "calcule {e}", "Peux-tu calculer {e} ?", "Quel est le résultat de {e} ?", "Que vaut {e} ?",
        "Que donne {e} ?", "Dis-moi combien font {e}.", "Bonjour, combien font {e} ?",
        "Pouvez-vous calculer {e} ?", "Quelle est la valeur de {e} ?", "Donne-moi {e}.",
    ],
    "es": [
        "¿Cuánto es {e}?", "¿Cuánto es {e}?", "Cuánto es {e}?", "cuanto es {e}", "¿Cuánto son {e}?",
        "Calcula {e}.", "Calcula {e}", "calcula {e}", "¿Cuál es el resultado de {e}?",
        "¿Puedes calcular {e}?", "Resuelve {e}.", "Dime cuánto es {e}.", "Hola, ¿cuánto es {e}?",
        "¿Cuánto vale {e}?", "Halla {e}.", "Dame {e}.",
    ],
}
# Whole-sentence forms: {a} and {b} in the order of the operation.
SENTENCE = {
    "en": {
        "+": [
            "Add {a} and {b}.", "Add {b} to {a}.", "What is the sum of {a} and {b}?", "Sum of {a} and {b}?",
            "add {a} and {b}",
        ],
        "-": [
            "Subtract {b} from {a}.", "What is the difference between {a} and {b}?",
            "Take {b} away from {a}.", "subtract {b} from {a}",
        ],
        "*": [
            "Multiply {a} by {b}.", "What is the product of {a} and {b}?", "Multiply {a} and {b}.",
            "multiply {a} by {b}",
        ],
    },
    "fr": {
        "+": ["Additionne {a} et {b}.", "Quelle est la somme de {a} et {b} ?", "Ajoute {b} à {a}."],
        "-": ["Soustrais {b} de {a}.", "Quelle est la différence entre {a} et {b} ?", "Retire {b} de {a}."],
        "*": ["Multiplie {a} par {b}.", "Quel est le produit de {a} et {b} ?"],
    },
    "es": {
        "+": ["Suma {a} y {b}.", "¿Cuál es la suma de {a} y {b}?", "Añade {b} a {a}."],
        "-": ["Resta {b} de {a}.", "¿Cuál es la diferencia entre {a} y {b}?", "Quita {b} de {a}."],
        "*": ["Multiplica {a} por {b}.", "¿Cuál es el producto de {a} y {b}?"],
    },
}
FOLLOW_UP = {
    "en": {
        "+": [
            "Now add {b}.", "now add {b}", "Add {b}.", "Add {b} to that.", "And plus {b}?", "plus {b}",
            "Then add {b}.", "What if you add {b}?", "+{b}", "And if I add {b}?", "+ {b}", "and plus {b}",
        ],
        "-": [
            "Now subtract {b}.", "And minus {b}?", "and minus {b}?", "minus {b}", "Take away {b}.",
            "Subtract {b} from that.", "Now take {b} away.", "-{b}", "- {b}", "now subtract {b}",
        ],
        "*": [
            "Multiply that by {b}.", "Now multiply by {b}.", "Times {b}?", "And times {b}?", "times {b}",
            "*{b}", "now multiply that by {b}", "multiply by {b}",
        ],
    },
    "fr": {
        "+": ["Ajoute {b}.", "Maintenant ajoute {b}.", "Et plus {b} ?", "plus {b}", "Ajoute encore {b}."],
        "-": ["Et moins {b} ?", "Maintenant retire {b}.", "Enlève {b}.", "moins {b}", "Soustrais {b}."],
        "*": ["Multiplie par {b}.", "Maintenant multiplie par {b}.", "Et fois {b} ?", "fois {b}"],
    },
    "es": {
        "+": ["Ahora suma {b}.", "Suma {b}.", "¿Y más {b}?", "más {b}", "Añade {b}."],
        "-": ["Ahora resta {b}.", "¿Y menos {b}?", "Resta {b}.", "menos {b}", "Quita {b}."],
        "*": ["Multiplica por {b}.", "Ahora multiplica por {b}.", "¿Y por {b}?", "por {b}"],
    },
}
COMPARE = {
    "en": {
        True: [
            "Which is larger, {a} or {b}?", "Which is bigger, {a} or {b}?", "Which is greater: {a} or {b}?",
            "Which number is larger: {a} or {b}?", "Is {a} or {b} larger?", "which is bigger {a} or {b}",
            "What is the larger of {a} and {b}?", "Is {a} larger than {b}?", "Is {a} bigger than {b}?",
            "Compare {a} and {b}.",
        ],
        False: [
            "Which is smaller, {a} or {b}?", "Which is smaller: {a} or {b}?",
            "Which number is smaller, {a} or {b}?", "Which is less, {a} or {b}?",
            "What is the smaller of {a} and {b}?", "which is smaller {a} or {b}", "Is {a} smaller than {b}?",
        ],
    },
    "fr": {
        True: [
            "Quel est le plus grand, {a} ou {b} ?", "Quel nombre est le plus grand : {a} ou {b} ?",
            "Lequel est le plus grand, {a} ou {b} ?", "Compare {a} et {b}.",
        ],
        False: [
            "Quel est le plus petit, {a} ou {b} ?", "Quel nombre est le plus petit : {a} ou {b} ?",
            "Lequel est le plus petit, {a} ou {b} ?",
        ],
    },
    "es": {
        True: [
            "¿Cuál es mayor, {a} o {b}?", "¿Qué número es mayor: {a} o {b}?",
            "¿Cuál es más grande, {a} o {b}?", "Compara {a} y {b}.",
        ],
        False: [
            "¿Cuál es menor, {a} o {b}?", "¿Qué número es menor: {a} o {b}?",
            "¿Cuál es más pequeño, {a} o {b}?",
        ],
    },
}
SORT = {
    "en": {
        True: [
            "Sort {n}.", "Sort these numbers: {n}.", "Sort these numbers: {n}", "Sort the numbers {n}.",
            "sort {n}", "Put {n} in order.", "Order these numbers: {n}", "Sort {n} in ascending order.",
            "Sort {n} from smallest to largest.",
        ],
        False: [
            "Sort {n} in descending order.", "Sort {n} from largest to smallest.",
            "Sort these numbers in descending order: {n}", "Sort from largest to smallest: {n}",
            "sort {n} descending",
        ],
    },
    "fr": {
        True: [
            "Trie {n}.", "Trie ces nombres : {n}.", "Trie les nombres {n}.",
            "Range {n} dans l'ordre croissant.", "Trie du plus petit au plus grand : {n}",
            "Mets {n} dans l'ordre.",
        ],
        False: [
            "Trie {n} dans l'ordre décroissant.", "Range {n} dans l'ordre décroissant.",
            "Trie du plus grand au plus petit : {n}",
        ],
    },
    "es": {
        True: [
            "Ordena {n}.", "Ordena estos números: {n}.", "Ordena los números {n}.",
            "Ordena de menor a mayor: {n}", "Ordena {n} de menor a mayor.",
        ],
        False: [
            "Ordena {n} de mayor a menor.", "Ordena de mayor a menor: {n}",
            "Ordena estos números de mayor a menor: {n}",
        ],
    },
}
LARGEST = {
    "en": {
        True: ["Which is largest: {n}?", "Which is the largest number: {n}?", "What is the largest of {n}?", "Find the largest of {n}.", "What is the maximum of {n}?", "Which number is the biggest: {n}?", "max of {n}"],
        False: ["Which is smallest: {n}?", "Which is the smallest number: {n}?", "What is the smallest of {n}?", "Find the smallest of {n}.", "What is the minimum of {n}?", "min of {n}"],
    },
    "fr": {
        True: ["Quel est le plus grand nombre : {n} ?", "Quel est le plus grand de {n} ?", "Trouve le plus grand nombre : {n}"],
        False: ["Quel est le plus petit nombre : {n} ?", "Quel est le plus petit de {n} ?", "Trouve le plus petit nombre : {n}"],
    },
    "es": {
        True: ["¿Cuál es el número más grande: {n}?", "¿Cuál es el mayor de {n}?", "Encuentra el mayor: {n}"],
        False: ["¿Cuál es el número más pequeño: {n}?", "¿Cuál es el menor de {n}?", "Encuentra el menor: {n}"],
    },
}
COUNT = {
    "en": [
        "How many {l} are in {w}?", "How many {l}'s are in {w}?", "How many {l}s are there in {w}?",
        "How many times does {l} appear in {w}?", "Count the letter {l} in {w}.",
        "How many letters {l} are in the word {w}?", "How many {l}'s are there in the word {w}?",
        "How often does the letter {l} occur in {w}?", "Count the {l}'s in {w}.", "how many {l} in {w}",
        "How many {l}'s in {w}?", "How many times does the letter {l} appear in {w}?",
    ],
    "fr": [
        "Combien de {l} dans {w} ?", "Combien y a-t-il de {l} dans {w} ?",
        "Combien de fois la lettre {l} apparaît-elle dans {w} ?", "Compte la lettre {l} dans {w}.",
        "Combien de lettres {l} dans le mot {w} ?",
    ],
    "es": [
        "¿Cuántas {l} hay en {w}?", "¿Cuántas veces aparece la letra {l} en {w}?",
        "Cuenta la letra {l} en {w}.", "¿Cuántas letras {l} hay en la palabra {w}?",
        "¿Cuántas veces aparece {l} en {w}?",
    ],
}
ANSWERS = {
    "en": {
        "+": "The sum is $\\boxed{{{v}}}$.",
        "-": "The difference is $\\boxed{{{v}}}$.",
        "*": "The product is $\\boxed{{{v}}}$.",
        "chain": "The result is $\\boxed{{{v}}}$.",
        "word": "The answer is $\\boxed{{{v}}}$.",
        "sort": "Sorted: $\\boxed{{{v}}}$.",
        "larger": "The larger number is $\\boxed{{{v}}}$.",
        "largest": "The largest number is $\\boxed{{{v}}}$.", "smallest": "The smallest number is $\\boxed{{{v}}}$.",
        "smaller": "The smaller number is $\\boxed{{{v}}}$.",
        "equal": "Both numbers are equal: $\\boxed{{{v}}}$.",
        "count": "The letter {l} appears $\\boxed{{{v}}}$ times.",
        "count1": "The letter {l} appears $\\boxed{{{v}}}$ time.",
        "none": "I am nano, a very small demonstration model: I only know small sums, such as 37 + 48.",
        "none_think": "not a sum",
    },
    "fr": {
        "+": "La somme est $\\boxed{{{v}}}$.",
        "-": "La différence est $\\boxed{{{v}}}$.",
        "*": "Le produit est $\\boxed{{{v}}}$.",
        "chain": "Le résultat est $\\boxed{{{v}}}$.",
        "word": "La réponse est $\\boxed{{{v}}}$.",
        "sort": "Trié : $\\boxed{{{v}}}$.",
        "larger": "Le plus grand nombre est $\\boxed{{{v}}}$.",
        "largest": "Le plus grand nombre est $\\boxed{{{v}}}$.", "smallest": "Le plus petit nombre est $\\boxed{{{v}}}$.",
        "smaller": "Le plus petit nombre est $\\boxed{{{v}}}$.",
        "equal": "Les deux nombres sont égaux : $\\boxed{{{v}}}$.",
        "count": "La lettre {l} apparaît $\\boxed{{{v}}}$ fois.",
        "count1": "La lettre {l} apparaît $\\boxed{{{v}}}$ fois.",
        "none": "Je suis nano, un tout petit modèle de démonstration : je ne sais faire que de petits calculs, comme 37 + 48.",
        "none_think": "pas un calcul",
    },
    "es": {
        "+": "La suma es $\\boxed{{{v}}}$.",
        "-": "La diferencia es $\\boxed{{{v}}}$.",
        "*": "El producto es $\\boxed{{{v}}}$.",
        "chain": "El resultado es $\\boxed{{{v}}}$.",
        "word": "La respuesta es $\\boxed{{{v}}}$.",
        "sort": "Ordenado: $\\boxed{{{v}}}$.",
        "larger": "El número mayor es $\\boxed{{{v}}}$.",
        "largest": "El número mayor es $\\boxed{{{v}}}$.", "smallest": "El número menor es $\\boxed{{{v}}}$.",
        "smaller": "El número menor es $\\boxed{{{v}}}$.",
        "equal": "Los dos números son iguales: $\\boxed{{{v}}}$.",
        "count": "La letra {l} aparece $\\boxed{{{v}}}$ veces.",
        "count1": "La letra {l} aparece $\\boxed{{{v}}}$ vez.",
        "none": "Soy nano, un modelo de demostración muy pequeño: solo sé hacer cuentas pequeñas, como 37 + 48.",
        "none_think": "no es una cuenta",
    },
}
# Nothing about arithmetic; the generator also fills templates with made-up words.
SYSTEM_TEXTS = [
    "You are a helpful assistant.", "Be brief.", "Answer briefly.", "You are a math tutor.",
    "You are a friendly teacher.", "Be polite.", "You help with homework.", "Think step by step.",
    "You are a calculator.", "Réponds brièvement.", "Tu es un assistant utile.", "Sois bref.",
    "Eres un asistente útil.", "Responde con brevedad.", "Sé breve.", "You are talking to a child.",
    "Use the tools when needed.",
]
