"""`mien tune`: replay a recording once per setting of a rule, score what each would have done, and propose one."""
