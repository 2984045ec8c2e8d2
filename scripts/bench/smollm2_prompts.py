"""Prompts of more topics than scripts/bench/smollm2.py has, to learn from: none of its own."""

from smollm2 import FORMS

_TOPICS = (
    "the solar system;how volcanoes erupt;the history of the telephone;keeping a garden;"
    "a fable about a fox and a crow;how airplanes fly;the human heart;saving energy at home;"
    "the ocean's tides;learning to play the guitar;the Great Wall of China;what is democracy;"
    "how batteries work;a letter to an old friend;the life cycle of a butterfly;online safety;"
    "the invention of printing;cooking rice;why leaves change color;good table manners;"
    "the Amazon rainforest;how to write an essay;magnets;the Industrial Revolution;"
    "making new friends;the importance of water;a poem about the sea;how rainbows form;"
    "public speaking;the history of the Olympics;what is artificial intelligence;bird migration;"
    "a healthy morning routine;the planets and their moons;how to train a dog;time management;"
    "the causes of the First World War;what is an atom;painting a room;a story about a brave girl;"
    "renewable energy;how the internet works;the Renaissance;first aid for burns;earthquakes;"
    "packing for a long trip;the digestive system;how to choose a book;what is a database;"
    "the history of money;growing tomatoes;sorting algorithms;a speech for a wedding;glaciers;"
    "the role of a teacher;how cheese is made;electric cars;the ancient Egyptians;yoga at home;"
    "dealing with stress at work;what is DNA;the rules of tennis;a dialogue in a bakery;"
    "writing a thank-you note;how telescopes work;deserts;the history of jazz;buying a used car;"
    "a balanced diet;the moon landing;what makes a good leader;how clouds form;coral reefs;"
    "preparing for an interview;fractions and decimals;a weather report;"
    "the French language;composting;how elections work;the human brain;a short story about a train;"
    "learning to swim;the history of bicycles;what is machine learning;polite emails;whales;"
    "how to repair a bicycle tire;the Silk Road;probability;a poem about friendship;recycling;"
    "the speed of light;how to set goals;museums;the immune system;what is a sonnet;wind power;"
    "the life of Isaac Newton;a recipe for vegetable soup;teamwork;how maps are made;mountains;"
    "caring for a cat;the Middle Ages;functions in programming;a bedtime story about a bear;"
    "the respiratory system;how to take notes;trade between countries;what astronauts eat;"
    "gratitude;the history of photography;soil;how to apologize;the Vikings;sugar"
).split(";")
_FORMS = (
    *FORMS,
    "Write a short introduction to {}.",
    "What should a beginner know? The subject is {}.",
)
MORE_PROMPTS = [form.format(topic) for topic in _TOPICS for form in _FORMS]
