#!/usr/bin/perl

# SECURITY names for each threat the tests against it, and what they hold. Tests
# print that, as lines "# NUMBER: ...", and each line of SECURITY must be one of
# them: with the same words, and numbers as large. A 0 must be 0, and after "at
# most" a number may be smaller.
#
# LOGMEIN_FIGURES is a folder with the output of the tests, as written by the
# harness with PERL_TEST_HARNESS_DUMP_TAP. Without it the quick tests are run.

use strict;
use warnings;
use Test::More;
use lib 'xt/lib';
use Author qw(read_file run);

my $THREATS = 46;

# Words and numbers of a figure.
sub parts {
    my ($figure) = @_;
    my @numbers;
    my $text = $figure =~ s/(?<=[0-9]),(?=[0-9]{3})//gr;
    $text =~ s/(?<![\w.-])(at most )?([0-9]+(?:[.][0-9]+)?)/
        push @numbers, [ $2, $1 ? 1 : 0 ]; ( $1 || q{} ) . 'N'/ge;
    return ( $text =~ s/\s+/ /gr, @numbers );
}

# Does what a test printed reach what is stated?
sub reaches {
    my ( $printed, $stated ) = @_;
    my ( $words,   @got )    = parts($printed);
    my ( $same,    @wanted ) = parts($stated);
    return if $words ne $same;
    for my $index ( 0 .. $#wanted ) {
        my ( $number, $at_most ) = @{ $wanted[$index] };
        my $is = $got[$index][0];
        return if $number == 0 ? $is != 0 : $at_most ? $is > $number : $is < $number;
    }
    return 1;
}

# The table: for each number its title, figures (file and text), those that need
# XT_LONG=1, and the deviation.
sub table {
    my ($text) = @_;
    my %row;
    my ($rows) = $text =~ /^THREATS\n(.*)\z/ms;
    for my $part ( split /\n\n+/, $rows // q{} ) {
        my ( $number, $rest ) = $part =~ /\A *([0-9]+)[.] (.*)\z/s or next;
        my ( $title, @fields ) = split /\n {4}(?! )/, $rest;
        my %this = ( title => $title, figures => [], long => [] );
        for my $field ( map { s/\s+/ /gr } @fields ) {
            if    ( $field =~ /\ADeviation: (.*)/ ) { $this{deviation} = $1 }
            elsif ( $field =~ m{\A((?:t|xt)/\S+[.][tc]), long: (.+)} ) {
                push @{ $this{long} }, [ $1, $2 ];
            }
            elsif ( $field =~ m{\A((?:t|xt)/\S+[.][tc]): (.+)} ) {
                push @{ $this{figures} }, [ $1, $2 ];
            }
            else { $this{odd} = $field }
        }
        $row{$number} = \%this;
    }
    return \%row;
}

# What is wrong with the table itself.
sub faults {
    my ($table) = @_;
    my @faults = map { "$_ is missing" } grep { !$table->{$_} } 1 .. $THREATS;
    for my $number ( sort { $a <=> $b } keys %{$table} ) {
        my $row = $table->{$number};
        my @all = ( @{ $row->{figures} }, @{ $row->{long} } );
        push @faults, "$number has an odd line: $row->{odd}" if $row->{odd};
        push @faults, "$number has no title"                 if $row->{title} !~ /\w\w/;
        push @faults, "$number has neither test nor deviation"
            if !@{ $row->{figures} } && !$row->{deviation};
        push @faults, "$number has a deviation without a reason"
            if $row->{deviation} && length $row->{deviation} < 40;
        push @faults,
            map { "$number names $_->[0], which does not exist" } grep { !-e $_->[0] } @all;
        push @faults, map { "$number has a figure without a number: $_->[1]" }
            grep { $_->[1] !~ /[0-9]/ } @all;
        push @faults, map { "$number: $_->[0] has no $_->[1]" }
            grep { !is_in_source( @{$_} ) } @{ $row->{long} };
    }
    return @faults;
}

# Is the first number of a long form in the test's source?
sub is_in_source {
    my ( $file, $figure ) = @_;
    my ( undef, $first )  = parts($figure);
    return if !-e $file || !$first;
    my $source = read_file($file);
    return if $file !~ m{\Axt/long/} && $source   !~ /XT_LONG/;
    return $source  =~ s/(?<=[0-9])_(?=[0-9])//gr =~ /\b$first->[0]\b/;
}

# The figures that no printed line reaches; $printed is a hash of the output of
# each test, without those that were not run.
sub misses {
    my ( $table, $printed ) = @_;
    my @misses;
    for my $number ( sort { $a <=> $b } keys %{$table} ) {
        for my $figure ( @{ $table->{$number}{figures} } ) {
            my ( $file, $stated ) = @{$figure};
            my $output = $printed->{$file} // next;
            push @misses, "$number, $file: $stated"
                if !grep { reaches( $_, $stated ) } $output =~ /^# *$number: (.*)/mg;
        }
    }
    return @misses;
}

# The name of a test, as the harness knows it.
sub program { my ($file) = @_; return $file =~ s{\At/core/(\w+)[.]c\z}{blib/core/$1}r }

my $text  = read_file('SECURITY');
my $table = table($text);
is_deeply( [ faults($table) ], [], "SECURITY tells of $THREATS threats" );

my ( %printed, @not_run );
my $folder = $ENV{LOGMEIN_FIGURES};
my @files  = do {
    my %seen;
    grep { !$seen{$_}++ } map { $_->[0] } map { @{ $_->{figures} } } values %{$table};
};
for my $file ( sort @files ) {
    my $program = program($file);
    if ( defined $folder ) {
        ok( -s "$folder/$program", "$file was run" ) or next;
        $printed{$file} = read_file("$folder/$program");
    }
    elsif ( $program =~ m{\Ablib/core/(?!password)} && -x $program ) {
        ( undef, $printed{$file} ) = run( '.', $program );
    }
    else { push @not_run, $file }
}
note("not run, for LOGMEIN_FIGURES is not set: @not_run") if @not_run;
is_deeply( [ misses( $table, \%printed ) ],
    [], 'the tests hold what SECURITY says: ' . keys(%printed) . ' of them' );

# Controls: what is wrong would be seen.
for my $case (
    [ '10,000 tries, 0 let in',  '10000 tries, 0 let in',  1 ],
    [ '20,000 tries, 0 let in',  '10,000 tries, 0 let in', 1 ],
    [ '9,999 tries, 0 let in',   '10,000 tries, 0 let in', q{} ],
    [ '10,000 tries, 1 let in',  '10,000 tries, 0 let in', q{} ],
    [ '10,000 tries, 0 get out', '10,000 tries, 0 let in', q{} ],
    [ 'at most 0.5 s',           'at most 2 s',            1 ],
    [ 'at most 2.5 s',           'at most 2 s',            q{} ],
    )
{
    my ( $printed, $stated, $wanted ) = @{$case};
    is( !!reaches( $printed, $stated ),
        $wanted, "control: '$printed' for '$stated': " . ( $wanted || 'no' ) );
}
my ($number) = grep { @{ $table->{$_}{figures} } && $printed{ $table->{$_}{figures}[0][0] } }
    sort { $a <=> $b } keys %{$table};
SKIP: {
    skip 'no test was run', 1 if !defined $number;
    my ( $file, $stated ) = @{ $table->{$number}{figures}[0] };
    my $planted = { %{$table}, $number => { figures => [ [ $file, '9' x 9 . " $stated" ] ] } };
    is( scalar misses( $planted, \%printed ), 1, 'control: a planted wrong figure is seen' );
}
my $gap = {
    %{$table},
    39 => { title => 'none',     figures => [],                               long => [] },
    38 => { title => 'core',     figures => [ [ 't/nowhere.t', '1 thing' ] ], long => [] },
    37 => { title => 'deviates', figures => [], long => [], deviation => 'no' },
    36 => { title => 'long',     figures => [], long => [ [ 'xt/race.t', '123456789 rounds' ] ] },
};
delete $gap->{40};
is( scalar( () = faults($gap) ), 6, 'control: so are faults of the table' ) or diag( faults($gap) );
done_testing();
