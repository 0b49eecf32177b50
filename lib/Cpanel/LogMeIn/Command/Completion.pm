package Cpanel::LogMeIn::Command::Completion;

use strict;
use warnings;
use parent 'Cpanel::LogMeIn::Command';

our $VERSION = '0.01';

my %PRINT = ( bash => \&_bash, zsh => \&_zsh, fish => \&_fish );

sub actions { return ( q{} => { arguments => ['SHELL'] } ) }

sub complaint {
    my ( $class, undef, undef, $shell ) = @_;
    return if $PRINT{$shell};
    return "Unknown shell '$shell': use bash, fish or zsh.";
}

sub run {
    my ( $class, undef, undef, $shell ) = @_;
    print $PRINT{$shell}->( _table() );
    return 0;
}

# The options of an action, as they are typed.
sub _options_of {
    my ($action) = @_;
    my @options  = ( 'config', 'help', map { /\A([\w-]+)/ } @{ $action->{options} // [] } );
    my @negated  = map { /\A([\w-]+)!/ ? "no-$1" : () } @{ $action->{options} // [] };
    return map { "--$_" } sort @options, @negated;
}

# A hash: "COMMAND" or "COMMAND WORD", and what may follow it.
sub _table {
    my @names = Cpanel::LogMeIn::Command->names;
    my %table = ( q{} => [ @names, qw(help --help --version) ], help => \@names );
    for my $name (@names) {
        my $class   = Cpanel::LogMeIn::Command::class_of($name);
        my %actions = $class->actions;
        my @words   = grep { length } sort keys %actions;
        $table{$name} = [ @words, '--help' ] if @words;
        $table{ join q{ }, $name, grep { length } $_ } = [ _options_of( $actions{$_} ) ]
            for keys %actions;
    }
    push @{ $table{completion} }, sort keys %PRINT;
    return %table;
}

# The cases of a shell's case statement.
sub _cases {
    my ( $form, %table ) = @_;
    return join q{}, map { sprintf $form, $_, join q{ }, @{ $table{$_} } } sort keys %table;
}

# Where no word of ours fits, the shell completes files.
sub _bash {
    my (%table) = @_;
    my $cases = _cases( qq{        "%s") words="%s" ;;\n}, %table );
    my $nested =
        _nested( q{        %s) (( COMP_CWORD > 2 )) && path="$path ${COMP_WORDS[2]}" ;;}, %table );
    return <<"SCRIPT";
# bash completion for logmein
_logmein() {
    local path="" words=""
    (( COMP_CWORD > 1 )) && path="\${COMP_WORDS[1]}"
    case "\$path" in
$nested
    esac
    case "\$path" in
$cases    esac
    COMPREPLY=( \$(compgen -W "\$words" -- "\${COMP_WORDS[COMP_CWORD]}") )
}
complete -o default -F _logmein logmein
SCRIPT
}

sub _zsh {
    my (%table) = @_;
    my $cases = _cases( qq{        "%s") words=(%s) ;;\n}, %table );
    my $nested =
        _nested( q{        %s) (( CURRENT > 3 )) && path_="$path_ ${words[3]}" ;;}, %table );
    return <<"SCRIPT";
#compdef logmein
_logmein() {
    local path_=""
    local -a words_
    (( CURRENT > 2 )) && path_="\${words[2]}"
    case "\$path_" in
$nested
    esac
    case "\$path_" in
@{[ $cases =~ s/words=/words_=/gr ]}    esac
    (( \$#words_ )) && compadd -- \$words_
    [[ "\${words[CURRENT]}" == -* ]] || _files
}
if [ "\$funcstack[1]" = _logmein ]; then _logmein "\$@"; else compdef _logmein logmein; fi
SCRIPT
}

# The commands that have words, as the pattern of one case.
sub _nested {
    my ( $form, %table ) = @_;
    my %nested = map { /\A(\S+) \S/ ? ( $1 => 1 ) : () } keys %table;
    return %nested ? sprintf $form, join q{|}, sort keys %nested : q{        "") ;;};
}

sub _fish {
    my (%table) = @_;
    my $script = "# fish completion for logmein\n";
    for my $path ( sort keys %table ) {
        my ( $name, $word ) = split q{ }, $path;
        my @others = $table{$path} ? grep { !/\A-/ } @{ $table{$path} } : ();
        my $where =
            defined $word
            ? "__fish_seen_subcommand_from $name; and __fish_seen_subcommand_from $word"
            : !defined $name ? '__fish_use_subcommand'
            : @others
            ? "__fish_seen_subcommand_from $name; and not __fish_seen_subcommand_from @others"
            : "__fish_seen_subcommand_from $name";
        for my $text ( @{ $table{$path} } ) {
            my $what = $text =~ /\A--(.*)/ ? "-l $1" : "-f -a $text";
            $script .= "complete -c logmein -n '$where' $what\n";
        }
    }
    return $script;
}

1;

__END__

=head1 NAME

logmein-completion - complete the words of logmein in a shell

=head1 SYNOPSIS

    logmein completion bash
    logmein completion fish
    logmein completion zsh

=head1 DESCRIPTION

Prints a script that lets the shell complete commands and options. Load it at the start
of the shell, in bash and zsh by

    source <(logmein completion bash)
    source <(logmein completion zsh)

after C<compinit> in F<.zshrc>, and in fish by

    logmein completion fish | source

or write it once to the folder from which the shell loads such scripts, for example
F</etc/bash_completion.d/logmein>, F</usr/local/share/zsh/site-functions/_logmein> or
F</etc/fish/completions/logmein.fish>.

=head1 OPTIONS

=over 4

=item C<--config FILE>

Has no effect.

=back

=head1 EXIT STATUS

0, or 2 if the shell is unknown.

=head1 SEE ALSO

L<logmein(1)>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
