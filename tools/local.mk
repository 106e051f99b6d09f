# tools: the scripts; the programs have folders of their own.
EXTRA_DIST += tools/build.sh tools/check.sh tools/commit.sh tools/demo.py \
    tools/deps.sh tools/quickstart.sh
