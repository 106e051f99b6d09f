# tools: the scripts; the programs have folders of their own.
