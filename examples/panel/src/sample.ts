// A text to begin with.

export const text = `The lamp had been dark for eleven nights when Ines rowed out to Sorrel Point.

Nobody had sent her. The harbour master said that the light was automatic now, that a light which minds itself needs no keeper and so no rescue. He said it very quickly and then he said it again, and while he was saying it he looked at the window and not at her.

She tied the boat to the iron ring that her father had set into the rock. The steps were green and very slippery and she went up them very slowly, one hand on the chain. At the top the door stood open. Inside, on the table, somebody had laid two plates.

She called out. The tower gave her back her own voice, a little lower, as if it had thought about the question.`;

export const notes = "Third person, past tense, told close to Ines. Her father kept the light until he died. "
  + "Plain words, short sentences, no similes that draw attention to themselves.";
