#!/usr/bin/perl

# `logmein`: the commands, their help, wrong usage, tables and passwords.

use strict;
use warnings;
use Cpanel::LogMeIn::Command           ();
use Cpanel::LogMeIn::Command::Terminal qw(print_table);
use SelectSaver                        ();
use Test::More;
use lib 't/lib';
use Run qw(logmein);

my @names = Cpanel::LogMeIn::Command->names;
cmp_ok( scalar @names, '>', 1, "commands: @names" );

my $help = logmein('--help');
is( $help->{status},        0,            'help: success' );
is( $help->{err},           q{},          '... on standard output' );
is( logmein('-h')->{out},   $help->{out}, '-h: the same' );
is( logmein('help')->{out}, $help->{out}, 'help: the same' );
like( logmein('--version')->{out}, qr/\Alogmein [0-9.]+\n\z/, 'the version' );

for my $name (@names) {
    like( $help->{out}, qr/^ +"?\Q$name\E"?$/m, "$name: in the list of commands" );
    my $page = logmein( $name, '--help' );
    is( $page->{status}, 0, '... has a page' );
    like( $page->{out}, qr/\ANAME\n    logmein-\Q$name\E - [a-z]/, '... with its name' );
    like( $page->{out}, qr/^SYNOPSIS\n +logmein \Q$name\E/m,       '... a synopsis' );
    like( $page->{out}, qr/^EXIT STATUS$/m,                        '... and the exit status' );
    is( logmein( 'help', $name )->{out}, $page->{out}, '... also by help' );
    my $class   = Cpanel::LogMeIn::Command::class_of($name);
    my %actions = $class->actions;

    for my $word ( sort keys %actions ) {
        my $part = logmein( $name, grep( { length } $word ), '--help' );
        is( $part->{status}, 0, "$name $word --help" );
        for my $option ( map { /\A([\w-]+)/ } @{ $actions{$word}{options} // [] } ) {
            like( $part->{out}, qr/--(?:\[no-\]|no-)?\Q$option\E\b/, "... describes --$option" );
        }
    }
}

# Wrong usage: 2, a sentence and the synopsis on standard error, nothing else.
for my $case (
    [ []                             => 'A command is missing.' ],
    [ ['nonsense']                   => q{Unknown command 'nonsense'.} ],
    [ ['../doctor']                  => q{Unknown command '../doctor'.} ],
    [ ['Doctor']                     => q{Unknown command 'Doctor'.} ],
    [ [ 'help', 'nonsense' ]         => q{Unknown command 'nonsense'.} ],
    [ ['--nonsense']                 => 'Unknown option: nonsense.' ],
    [ [ 'doctor', '--nonsense' ]     => 'Unknown option: nonsense.' ],
    [ [ 'doctor', '--js' ]           => 'Unknown option: js.' ],
    [ [ 'doctor', '--host' ]         => 'Option host requires an argument.' ],
    [ [ 'doctor', '--quiet=1' ]      => 'Option quiet does not take an argument.' ],
    [ [ 'doctor', 'x' ]              => q{Unexpected argument 'x'.} ],
    [ [ 'serve', '--base', 'x' ]     => q{Value "x" invalid for option base (number expected).} ],
    [ [ 'serve', '--app', 'a', 'b' ] => q{Unexpected argument 'b'.} ],
    )
{
    my ( $arguments, $sentence ) = @{$case};
    my $answer = logmein( @{$arguments} );
    is( $answer->{status}, 2,   "wrong usage: '@{$arguments}'" );
    is( $answer->{out},    q{}, '... nothing on standard output' );
    like( $answer->{err}, qr/\Alogmein: \Q$sentence\E\nUsage:\n +logmein /, '... a sentence' );
}

# Tables
sub table {
    my ( $columns, @rows ) = @_;
    local $ENV{COLUMNS} = $columns;
    open my $out, '>', \my $text or die "no memory: $!";
    my $selected = SelectSaver->new($out);
    print_table( [qw(USER WHAT)], sub { return shift @rows } );
    return $text;
}
is(
    table( 80, [ 'alice', 'x' ], [ 'bob', "\e[31m\n" ] ),
    "USER   WHAT\nalice  x\nbob    ?[31m?\n",
    'a table, without control characters'
);
is( table(80), "USER  WHAT\n", 'an empty one' );
my $long = table( 50, [ 'a' x 60, 'b' x 70 ], [ 'x', undef ] );
cmp_ok( length, '<=', 50, 'a line fits' ) for split /\n/, $long;
like( $long, qr/a~  b+~$/m, '... what is cut shows it' );
my @many = map { [ $_, 'x' x 10 ] } 1 .. 2500;
is( scalar( () = table( 80, @many )             =~ /\n/g ),   2501, 'a long table' );
is( scalar( () = table( 80, @many[ 0 .. 999 ] ) =~ /USER/g ), 1,    '... has its headings once' );

done_testing;
