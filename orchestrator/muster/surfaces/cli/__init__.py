"""DataVizHub's API: commands that somebody declared, run with arguments that anybody may give."""
