#!/usr/bin/perl

# `logmein completion` in the real shells: what they offer after a beginning.

use strict;
use warnings;
use blib;
use Cpanel::LogMeIn::Command ();
use File::Temp               qw(tempdir);
use Test::More;
use lib    qw(t/lib xt/lib);
use Author qw(has_program run);
use Run    qw(logmein);

my $dir   = tempdir( CLEANUP => 1 );
my @names = Cpanel::LogMeIn::Command->names;

# The shells' ways to tell what they would offer for a line: one on each line, which may
# end with a description.
my %SHELL = (
    bash => q{source FILE; COMP_WORDS=(LINE"LAST"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1));}
        . q{ _logmein; printf '%s\n' "${COMPREPLY[@]}"},
    fish => q{source FILE; complete -C 'LINELAST'},

    # A real terminal: Ctrl-D lists what fits.
    zsh => q{zmodload zsh/zpty; zpty z TERM=vt100 zsh -f -i;}
        . q{ zpty -w z 'PS1=; autoload -U compinit; compinit -D -u; source FILE; echo re""ady';}
        . q{ while zpty -r z l; do [[ $l == *ready* ]] && break; done; sleep 0.3;}
        . q{ zpty -w -n z 'LINELAST'$'\x04'; sleep 0.5; zpty -w -n z $'\x15'; zpty -w z exit;}
        . q{ while zpty -r z l; do print -r -- "$l"; done},
);

sub offered {
    my ( $shell, $line ) = @_;
    my ( $begin, $last ) = $line =~ /\A(.* )?(\S*)\z/;
    my $script = $SHELL{$shell} =~ s/LINE/$begin/r =~ s/LAST/$last/r =~ s/FILE/$dir\/$shell/r;
    open my $file, '>', "$dir/script" or die "$dir/script: $!";
    print {$file} $script;
    close $file or die "$dir/script: $!";
    my ( undef, $out ) = run( '.', "timeout 20 $shell $dir/script" );
    return join q{ }, sort grep { length } split /\s+/, $out =~ s/[\0]|\e\[[0-9;?]*[a-zA-Z]//gr;
}

for my $shell ( sort keys %SHELL ) {
SKIP: {
        skip "$shell is not installed", 1 if !has_program($shell);
        open my $file, '>', "$dir/$shell" or die "$dir/$shell: $!";
        print {$file} logmein( 'completion', $shell )->{out};
        close $file or die "$dir/$shell: $!";
        my $all = offered( $shell, 'logmein ' );
        like( $all, qr/(?:\A| )\Q$_\E(?: |\z)/, "$shell: $_" ) for @names;
        like( offered( $shell, 'logmein doctor --fai' ), qr/--fail2ban/, '... an option' );
        like( offered( $shell, 'logmein completion z' ), qr/\bzsh\b/,    '... an argument' );
        my $session = offered( $shell, 'logmein session ' );
        like( $session, qr/\blist\b/, '... the words of a command' );
        my $list = offered( $shell, 'logmein session list --' );
        like( $list, qr/--user/, '... their options' );
        unlike( $list, qr/--fail2ban/, 'control: not those of others' );
        unlike( offered( $shell, 'logmein serve --' ), qr/--fail2ban/, '... at all' );
    }
}
done_testing();
