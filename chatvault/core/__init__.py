"""What everything else stands on: values and rules, pure, standard library only."""
